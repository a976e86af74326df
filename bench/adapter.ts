/** The adapter that a run was promised: its device, or the reason why there is none. */
import type { Device } from "../src/gpu/device.ts";
import { GpuUnavailableError } from "../src/gpu/errors.ts";
import { openDevice } from "../src/gpu/open.ts";

/** The machine's own GPU, or the CPU's emulation of one. */
export type AdapterKind = "hardware" | "software";

export const ADAPTER_KINDS: readonly AdapterKind[] = ["software", "hardware"];

const DRIVERS = "a driver for Vulkan, Metal or Direct3D 12";

/** As the device describes itself; emulations in capitals. */
export function adapterNameOf({ info, software }: Pick<Device, "info" | "software">): string {
  const { vendor, architecture, device, description } = info;
  const name = [...new Set([vendor, architecture, device, description])].filter(Boolean).join(" ");
  return software ? name.toUpperCase() : name || "unnamed adapter";
}

/**
 * Opens the adapter's device: the times of an emulation must never be taken for a GPU's.
 * @param wanted null for whichever there is
 * @throws Error in one sentence if there is none of the kind
 */
export async function openAdapter(
  gpu: GPU,
  wanted: AdapterKind | null,
  power: GPUPowerPreference | null = null,
): Promise<Device> {
  let device: Device;
  try {
    device = await openDevice({ gpu, ...(power ? { powerPreference: power } : {}) });
  } catch (error) {
    if (!(wanted && error instanceof GpuUnavailableError && error.reason === "no-adapter")) throw error;
    throw new Error(
      wanted === "hardware"
        ? `--adapter hardware: no hardware adapter was found, nor any other; install ${DRIVERS}, or use --adapter software`
        : "--adapter software: no emulation of a GPU was found; `npm run browser` installs a Chromium that brings SwiftShader",
    );
  }
  if (!wanted || device.software === (wanted === "software")) return device;
  const name = adapterNameOf(device);
  device.destroy();
  throw new Error(
    wanted === "hardware"
      ? `--adapter hardware: no hardware adapter was found, only ${name}, which emulates one on the CPU; install ${DRIVERS}, or use --adapter software`
      : `--adapter software: only ${name} was found, which is hardware; use --adapter hardware`,
  );
}
