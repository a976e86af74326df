/** Times a line: never before its result was found right. */
import type { Device } from "../src/gpu/device.ts";
import type { Plan } from "../src/gpu/plan.ts";
import { passTime, profile } from "../src/gpu/timing.ts";
import { capture } from "../src/tensor/capture.ts";
import { empty, fill } from "../src/tensor/create.ts";
import { Random } from "../src/tensor/philox.ts";
import { scope } from "../src/tensor/scope.ts";
import { checkOutputs, explain } from "./check.ts";
import type { Line, Work } from "./line.ts";
import { commonDivisor, type Summary, summarise } from "./statistics.ts";

export interface TimingOptions {
  /** Milliseconds of samples a line. */
  readonly budgetMs: number;
  /** Most samples. */
  readonly samples: number;
}

/** How the GPU's time is taken, and how finely. */
export interface Clock {
  readonly method: "timestamp queries" | "submit to done";
  /** Nanoseconds between two ticks. */
  readonly tickNs: number;
}

export interface Timing extends Summary {
  /** Runs in one sample; median, low and high are milliseconds a run. */
  readonly repeats: number;
  readonly method: Clock["method"];
  /** Milliseconds that the pipelines took to compile, summed; they overlap. */
  readonly compileMs: number;
  /** Milliseconds from the first call to its result, compilation included. */
  readonly firstMs: number;
  /** Microseconds of JavaScript of a replayed run, its submit included: median of many rows of replays. */
  readonly scriptUs: number;
  readonly dispatches: number;
  /** Most pool bytes alive during the first run, inputs included. */
  readonly peakBytes: number;
  /** 10^9 bytes a second of a copy that took turns with the line's samples; missing where arithmetic bounds the line. */
  readonly copyGBs?: number;
}

/** Work that takes turns with a line's samples: a neighbour that slows one slows the other. */
export interface Beside {
  /** Bytes that `run` reads and writes. */
  readonly bytes: number;
  run(): void;
}

export type Result =
  | { readonly name: string; readonly error: string }
  | ({ readonly name: string; readonly flops: number; readonly bytes: number } & Timing);

export const isTimed = (result: Result): result is Exclude<Result, { error: string }> => "median" in result;

/** A sample must span so many ticks of the clock. */
const TICKS = 50;
/** Shortest sample without timestamps: long beside the cost of a submit. */
const SHORTEST_MS = 10;
/** Longest sample: a page must stay responsive, and a watchdog quiet. */
const LONGEST_MS = 250;
/** Runs that make 50 ticks of 100 us, the coarsest clock, of a launch of 2 us. */
const MOST_REPEATS = 2560;
/** Rows of replays for the time of JavaScript, replays in a row, and the share of the line's budget that they may take. */
const SCRIPT_ROWS = 25;
const MOST_REPLAYS = 64;
const SCRIPT_SHARE = 0.25;
/** Where a tick is coarser, submit to done is the better clock. */
const COARSEST_NS = 1e6;
const SEED = 1;

/** Finds the tick of the device's timestamps from the times of small launches. */
export async function findClock(device: Device): Promise<Clock> {
  if (device.has("timestamp-query")) {
    const target = empty(device, [1024]);
    const times = await profile(device, () => {
      for (let i = 0; i < 64; i++) fill(target, i);
    });
    target.dispose();
    const tickNs = commonDivisor(times.map(({ ns }) => ns));
    if (tickNs > 0 && tickNs <= COARSEST_NS && times.every(({ ns }) => ns >= 0))
      return { method: "timestamp queries", tickNs };
  }
  return { method: "submit to done", tickNs: 0 };
}

/** Microseconds by which performance.now steps: 5 in an isolated page, 100 in others. */
export function scriptTick(): number {
  let smallest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 20; i++) {
    const start = performance.now();
    let now = start;
    while (now === start) now = performance.now();
    smallest = Math.min(smallest, now - start);
  }
  return smallest * 1000;
}

async function time(device: Device, clock: Clock, run: () => void): Promise<number> {
  if (clock.method === "timestamp queries") return (await passTime(device, run)) / 1e6;
  await device.sync();
  const start = performance.now();
  run();
  await device.sync();
  return performance.now() - start;
}

/** Runs in one sample, given the milliseconds of one. */
export function repeatsFor(runMs: number, { method, tickNs }: Clock): number {
  const shortest = method === "timestamp queries" ? Math.max(1, (TICKS * tickNs) / 1e6) : SHORTEST_MS;
  const wanted = Math.ceil(shortest / Math.max(runMs, 1e-4));
  return Math.max(1, Math.min(wanted, MOST_REPEATS, Math.floor(LONGEST_MS / Math.max(runMs, 1e-4))));
}

/** Replays in a row of `scriptTime`, given the milliseconds of one. */
const rowFor = (runMs: number) => Math.max(1, Math.min(MOST_REPLAYS, Math.floor(LONGEST_MS / Math.max(runMs, 1e-4))));

/** Microseconds of JavaScript of a replay, by rows of so many that wait for nothing: one alone is too short for a clock. */
export async function scriptTime(device: Device, plan: Plan<unknown>, row: number, budgetMs: number): Promise<number> {
  const samples: number[] = [];
  const end = performance.now() + budgetMs;
  while (samples.length < 3 || (samples.length < SCRIPT_ROWS && performance.now() < end)) {
    await device.sync();
    const start = performance.now();
    for (let i = 0; i < row; i++) {
      plan.replay();
      device.flush(); // encodes and submits, which a page would do at the end of its turn
    }
    samples.push(((performance.now() - start) * 1000) / row);
  }
  await device.sync();
  return summarise(samples).median;
}

/** Checks the line against its reference, then times it. */
export async function measureLine(
  device: Device,
  line: Line,
  clock: Clock,
  options: TimingOptions,
  beside: Beside | null = null,
): Promise<Result> {
  let work: Work | null = null;
  const plans: Plan<unknown>[] = [];
  try {
    work = line.prepare(device, new Random(SEED));
    return await measure(device, line, work, clock, options, plans, beside);
  } catch (error) {
    return { name: line.name, error: error instanceof Error ? error.message : String(error) };
  } finally {
    for (const plan of plans) plan.dispose();
    work?.dispose?.();
    for (const input of work?.inputs ?? []) input.dispose();
    await device.sync();
  }
}

async function measure(
  device: Device,
  line: Line,
  work: Work,
  clock: Clock,
  options: TimingOptions,
  plans: Plan<unknown>[],
  beside: Beside | null,
): Promise<Result> {
  const { name, flops, bytes, tolerance = 1e-4 } = line;
  await device.sync();
  device.pool.resetPeak();
  const before = device.stats;
  const begin = performance.now();
  const outputs = scope(() => work.run());
  await device.sync();
  const firstMs = performance.now() - begin;
  const { compileMs, memory, dispatches } = device.stats;
  const mismatch = await checkOutputs(outputs, work.expected(), tolerance);
  // Gradients belong to their inputs.
  const kept = new Set([...(work.keeps ?? []), ...work.inputs.map(({ gradSlot }) => gradSlot)]);
  for (const output of outputs) if (!kept.has(output)) output.dispose();
  if (mismatch) return { name, error: explain(mismatch) };

  const planOf = async (repeats: number, run: () => void) => {
    const plan = await capture(device, () => {
      for (let i = 0; i < repeats; i++) scope(run);
    });
    plans.push(plan);
    return plan;
  };
  /** Takes samples of work whose passes repeat it until they are long enough for the clock. */
  const sampler = async (run: () => void) => {
    const single = await planOf(1, run);
    await time(device, clock, () => single.replay());
    const runMs = await time(device, clock, () => single.replay());
    const repeats = repeatsFor(runMs, clock);
    const plan = repeats === 1 ? single : await planOf(repeats, run);
    return { single, runMs, repeats, take: async () => (await time(device, clock, () => plan.replay())) / repeats };
  };
  const { single, runMs, repeats, take } = await sampler(() => {
    work.run();
  });
  const copy = beside && (await sampler(() => beside.run()));
  const samples: number[] = [];
  const copies: number[] = [];
  const end = performance.now() + options.budgetMs;
  while (samples.length < 3 || (samples.length < options.samples && performance.now() < end)) {
    samples.push(await take());
    if (copy) copies.push(await copy.take());
  }
  return {
    ...{ name, flops, bytes, repeats, method: clock.method, firstMs },
    ...(beside && { copyGBs: beside.bytes / (summarise(copies).median * 1e6) }),
    ...summarise(samples),
    compileMs: compileMs - before.compileMs,
    scriptUs: await scriptTime(device, single, rowFor(runMs), options.budgetMs * SCRIPT_SHARE),
    dispatches: dispatches - before.dispatches,
    peakBytes: memory.peak,
  };
}
