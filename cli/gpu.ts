import { type Device, GpuUnavailableError, openDevice } from "ostinato";
import { Failure } from "./failure.ts";

/** Dawn's instance: collected while devices of it live, it would take the process down. */
let dawn: GPU | null = null;

/** WebGPU through the optional package webgpu. @throws Failure that says what is missing and how to get it */
export async function findGpu(): Promise<GPU> {
  dawn ??= await loadDawn();
  return dawn;
}

/** A device of it. @throws Failure if there is none */
export async function openGpu(): Promise<Device> {
  const gpu = await findGpu();
  try {
    return await openDevice({ gpu });
  } catch (error) {
    throw explained(error);
  }
}

/** A device's absence in words for this command line; any other error as it is. */
export function explained(error: unknown): unknown {
  if (!(error instanceof GpuUnavailableError && error.reason === "no-adapter")) return error;
  return new Failure(
    "no GPU was found: Dawn sees no driver for Vulkan, Metal or Direct3D 12; install one, or emulate a GPU with the SwiftShader of an installed Chrome: VK_ICD_FILENAMES=/path/to/vk_swiftshader_icd.json",
  );
}

async function loadDawn(): Promise<GPU> {
  let webgpu: typeof import("webgpu");
  try {
    webgpu = await import("webgpu");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Failure(
      code === "ERR_MODULE_NOT_FOUND"
        ? "Node has no WebGPU of its own; install Dawn beside ostinato with `npm install webgpu`"
        : `the package webgpu does not load on this machine (${message.split("\n")[0]}); install it again, or use another platform`,
    );
  }
  Object.assign(globalThis, webgpu.globals);
  return webgpu.create([]);
}
