import { type CheckResult, checkDevice } from "./check.ts";
import { Failure } from "./failure.ts";
import { openGpu } from "./gpu.ts";

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

/** Prints the adapter, its limits and features, and checks a few kernels. @throws Failure if one is wrong */
export async function info({ json = false }: { readonly json?: boolean }): Promise<void> {
  const device = await openGpu();
  const { vendor, architecture, description } = device.info;
  const adapter = { vendor, architecture, description, software: device.software };
  const limits = Object.fromEntries(LIMITS.map((name) => [name, device.limits[name]]));
  const features = [...device.gpu.features].sort();
  const checks = await checkDevice(device);
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
        "self-check, largest difference from float64",
        aligned(
          checks.map(({ name, error, passed }): [string, string] => [
            name,
            `${error.toExponential(1)} ${passed ? "ok" : "WRONG"}`,
          ]),
        ),
      ].join("\n"),
    );
  }
  const wrong = checks.filter(({ passed }: CheckResult) => !passed).map(({ name }) => name);
  if (wrong.length > 0)
    throw new Failure(`${wrong.join(", ")} came out wrong on this device; update its driver before you trust it`);
}
