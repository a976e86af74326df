/** Runs a job on a device: the same in a page and in Node. */
import type { Device } from "../src/gpu/device.ts";
import { adapterNameOf, openAdapter } from "./adapter.ts";
import type { Job, Machine, Outcome, Progress } from "./job.ts";
import { measureKernels } from "./kernel/measure.ts";
import { type Clock, findClock, measureLine, type Result, scriptTick } from "./measure.ts";
import { copyBeside, measureRoofline } from "./roofline/roofline.ts";
import { findScenario } from "./scenarios/all.ts";
import { LINES } from "./suite/lines.ts";

function machineOf(device: Device, clock: Clock): Machine {
  return {
    adapter: adapterNameOf(device),
    software: device.software,
    features: [...device.gpu.features].sort(),
    clock,
    scriptTickUs: scriptTick(),
  };
}

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
    const results: Result[] = [];
    if (job.what === "kernels")
      results.push(...(await measureKernels(device, job.kernels, clock, job.timing, progress)));
    const lines = LINES.filter(({ name }) => job.lines.includes(name));
    for (const [i, line] of lines.entries()) {
      progress(`${i + 1} of ${lines.length}: ${line.name}`);
      const beside = copyBeside(device, job.roofline.copy, line, roofline);
      results.push(await measureLine(device, line, clock, job.timing, beside));
      beside?.dispose();
    }
    return { machine, roofline, results, rows: [] };
  } finally {
    device.destroy();
  }
}
