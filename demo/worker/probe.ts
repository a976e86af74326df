import type { Device } from "../../src/gpu/device.ts";
import type { Probe, Settings } from "../protocol.ts";
import { Run } from "./run.ts";
import type { ReadText } from "./texts.ts";

/** Steps before those that are timed: the first compiles, and records what later ones replay. */
const WARM = 1;
const TIMED = 2;

/**
 * Takes a few steps of a run that nobody will see, for the time of one. Compiled kernels stay, so that the run itself
 * starts sooner.
 * @throws as the run would, for instance for lack of memory
 */
export async function probeRun(device: Device, settings: Settings, text: ReadText): Promise<Probe> {
  const run = Run.create(device, settings, text);
  const { signal } = new AbortController();
  try {
    await run.train(WARM, signal, () => {});
    const start = performance.now();
    await run.train(TIMED, signal, () => {});
    return { dispatches: run.dispatchesPerStep, milliseconds: (performance.now() - start) / TIMED };
  } finally {
    run.dispose();
  }
}
