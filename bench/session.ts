/** Runs a job on a device: the same in a page and in Node. */
import { openAdapter } from "./adapter.ts";
import type { Job, Outcome, Progress } from "./job.ts";
import { measureKernels } from "./kernel/measure.ts";
import { machineOf, measureLines } from "./lines.ts";
import { findClock } from "./measure.ts";
import { measureRoofline } from "./roofline/roofline.ts";
import { findScenario } from "./scenarios/all.ts";

export async function runJob(gpu: GPU, job: Job, progress: Progress): Promise<Outcome> {
  const device = await openAdapter(gpu, job.adapter, job.power);
  try {
    const clock = await findClock(device);
    const machine = machineOf(device, clock);
    if (job.scenario) {
      const rows = await findScenario(job.scenario).run(device, { quick: job.quick, progress });
      return { machine, roofline: null, results: [], rows };
    }
    progress("roofline of this device");
    const roofline = await measureRoofline(device, job.roofline, clock, job.timing);
    const kernels =
      job.what === "kernels" ? await measureKernels(device, job.kernels, clock, job.timing, progress) : [];
    const lines = await measureLines(device, job, clock, roofline, progress);
    return { machine, roofline, results: [...kernels, ...lines], rows: [] };
  } finally {
    device.destroy();
  }
}
