import { summarise } from "../../statistics.ts";
import type { Measurement, Round, TimingOptions } from "../record.ts";
import { isTraining, type Outputs, tokensOf, WORKLOADS, type Workload, type WorkloadName } from "../workloads.ts";
import { compare, loadReference } from "./compare.ts";
import { countsNow, countsSince, peakBytes } from "./counters.ts";
import type { Engine, Work } from "./engine.ts";

/** Largest relative error of a right result: sampled tokens are equal or wrong, losses pass through four steps. */
const TOLERANCE = { tokens: 0, training: 2e-4, other: 2e-3 };
/** Above this time a repetition is too dear to warm up or to repeat without waiting. */
const SLOW_MS = 1500;
const PIPELINED = { budgetMs: 1200, least: 3, most: 20 };

const within = async <T>(work: T | Promise<T>, ms: number, what: string): Promise<T> => {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
};

async function timed(work: Work): Promise<number> {
  const start = performance.now();
  await work.step();
  await work.sync();
  return performance.now() - start;
}

/** Results to check: for training the losses of as many steps as the reference took. */
async function results(work: Work, workload: Workload, steps: number): Promise<Outputs> {
  if (!isTraining(workload)) return work.read();
  const losses: number[] = [];
  for (;;) {
    const { loss } = await work.read();
    losses.push(loss[0]);
    if (losses.length === steps) return { losses };
    await work.step();
  }
}

/** Checks and times one engine at one workload. Throws what the engine throws. */
export async function measure(
  engine: Engine,
  name: WorkloadName,
  { reps, budgetMs, timeoutMs }: TimingOptions,
): Promise<Measurement<Round>> {
  const workload: Workload = WORKLOADS[name]();
  const reason = engine.unsupported(workload);
  if (reason) return { skipped: reason };

  const start = performance.now();
  const work = await within(engine.prepare(workload), timeoutMs, "preparing");
  const prepareMs = performance.now() - start;
  let before = countsNow();
  const firstMs = await within(timed(work), timeoutMs, "the first step");
  const first = { ms: firstMs, pipelines: countsSince(before).pipelines };

  const reference = await loadReference(name);
  const { error, where } = compare(await results(work, workload, reference.losses?.length ?? 1), reference);
  const tokens = tokensOf(workload);
  const tolerance = tokens > 0 ? TOLERANCE.tokens : isTraining(workload) ? TOLERANCE.training : TOLERANCE.other;

  before = countsNow();
  let last = await timed(work);
  const counts = countsSince(before);
  if (last < SLOW_MS) for (let warm = 0; warm < 2; warm++) last = await timed(work);
  const timesMs: number[] = [];
  const count = Math.max(3, Math.min(reps, Math.floor(budgetMs / last)));
  while (timesMs.length < count) timesMs.push(await timed(work));
  const { median } = summarise(timesMs);
  // Taken before steps overlap, when an engine may hold several outputs.
  const peak = peakBytes();
  const pipelinedMs = median < SLOW_MS ? await pipelined(work, median) : null;
  await work.dispose();
  return {
    ...{ prepareMs, first, error, where, right: error <= tolerance, counts, timesMs, pipelinedMs, tokens },
    peakBytes: peak,
    ...(workload.flop ? { flop: workload.flop } : {}),
  };
}

/** Time a step when several are enqueued before waiting once. */
async function pipelined(work: Work, stepMs: number): Promise<number> {
  const { budgetMs, least, most } = PIPELINED;
  const count = Math.max(least, Math.min(most, Math.floor(budgetMs / stepMs)));
  const start = performance.now();
  for (let i = 0; i < count; i++) await work.step();
  await work.sync();
  return (performance.now() - start) / count;
}
