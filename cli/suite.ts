/**
 * The lines of the repository's bench, on any device. Built as a part of the library, whose modules it shares, but no entry
 * point of the package.
 */
import { openAdapter } from "../bench/adapter.ts";
import type { Job, Outcome, Progress } from "../bench/job.ts";
import { machineOf, measureLines } from "../bench/lines.ts";
import { findClock } from "../bench/measure.ts";
import copy from "../bench/roofline/copy.wgsl";
import fma from "../bench/roofline/fma.wgsl";
import { measureRoofline, type RooflineKernels } from "../bench/roofline/roofline.ts";
import tile from "../bench/roofline/tile.wgsl";
import tile_subgroup from "../bench/roofline/tile_subgroup.wgsl";
import workgroup from "../bench/roofline/workgroup.wgsl";

export { LINES } from "../bench/suite/lines.ts";

const kernels: RooflineKernels = { copy, fma, workgroup, tile, tile_subgroup };

/** Measures the device's peaks, unless it must be quick, then lines beside them. @throws as `openAdapter` */
export async function measureSuite(
  gpu: GPU,
  job: Pick<Job, "lines" | "timing" | "quick" | "power">,
  progress: Progress,
): Promise<Outcome> {
  const device = await openAdapter(gpu, null, job.power);
  try {
    const clock = await findClock(device);
    const machine = machineOf(device, clock);
    if (!job.quick) progress("peaks of this device");
    const roofline = job.quick ? null : await measureRoofline(device, kernels, clock, job.timing);
    const results = await measureLines(device, { ...job, roofline: kernels }, clock, roofline, progress);
    return { machine, roofline, results, rows: [] };
  } finally {
    device.destroy();
  }
}
