/** Lines of the suite on a device, and what it says of itself: the part of a run that needs neither page nor experiment. */
import type { Device } from "../src/gpu/device.ts";
import { adapterNameOf } from "./adapter.ts";
import type { Job, Machine, Progress } from "./job.ts";
import { type Clock, measureLine, type Result, scriptTick } from "./measure.ts";
import { copyBeside, type Roofline } from "./roofline/roofline.ts";
import { LINES } from "./suite/lines.ts";

export function machineOf(device: Device, clock: Clock): Machine {
  return {
    adapter: adapterNameOf(device),
    software: device.software,
    features: [...device.gpu.features].sort(),
    clock,
    scriptTickUs: scriptTick(),
  };
}

/** Measures the lines that a job names, each beside a copy where bandwidth bounds it by the device's peaks, if they are known. */
export async function measureLines(
  device: Device,
  { lines: names, roofline: kernels, timing }: Pick<Job, "lines" | "roofline" | "timing">,
  clock: Clock,
  roofline: Roofline | null,
  progress: Progress,
): Promise<Result[]> {
  const lines = LINES.filter(({ name }) => names.includes(name));
  const results: Result[] = [];
  for (const [i, line] of lines.entries()) {
    progress(`${i + 1} of ${lines.length}: ${line.name}`);
    const beside = roofline && copyBeside(device, kernels.copy, line, roofline);
    results.push(await measureLine(device, line, clock, timing, beside));
    beside?.dispose();
  }
  return results;
}
