import { checkTable, checks as known, selfCheck } from "ostinato/check";
import { Failure } from "./failure.ts";
import { openGpu } from "./gpu.ts";
import { say } from "./progress.ts";

const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxStorageBuffersPerShaderStage",
] as const;

const aligned = (rows: readonly (readonly [string, string])[]) => {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`).join("\n");
};

export interface InfoOptions {
  readonly json?: boolean;
  /** Checks only the kernels whose names contain it. */
  readonly only?: string;
}

/** Prints the adapter, its limits and features, and checks every kernel. @throws Failure if one is wrong */
export async function info({ json = false, only = "" }: InfoOptions): Promise<void> {
  const chosen = known.filter(({ name }) => name.toLowerCase().includes(only.toLowerCase()));
  if (chosen.length === 0)
    throw new Failure(
      `--only ${only}: no kernels are called that; known are ${known.map(({ name }) => name).join("; ")}`,
    );
  const device = await openGpu();
  const { vendor, architecture, description } = device.info;
  const adapter = { vendor, architecture, description, software: device.software };
  const limits = Object.fromEntries(LIMITS.map((name) => [name, device.limits[name]]));
  const features = [...device.gpu.features].sort();
  const checks = await selfCheck(device, {
    checks: chosen,
    onResult: (_, done, total) => say(done < total ? `self-check ${done} of ${total}` : ""),
  });
  if (json) console.log(JSON.stringify({ adapter, limits, features, checks }, null, 2));
  else {
    const emulated = device.software ? "an emulation on the CPU: right, but slow" : "hardware";
    console.log(
      [
        "adapter",
        aligned([
          ["vendor", vendor],
          ["architecture", architecture],
          ["description", description],
          ["kind", emulated],
        ]),
        "limits",
        aligned(LIMITS.map((name) => [name, String(limits[name])])),
        `features\n  ${features.join(", ") || "none"}`,
        "self-check",
        checkTable(checks, description || architecture || vendor),
      ].join("\n"),
    );
  }
  const wrong = checks.filter(({ passed }) => !passed).map(({ name }) => name);
  if (wrong.length > 0)
    throw new Failure(`${wrong.join(", ")} came out wrong on this device; update its driver before you trust it`);
}
