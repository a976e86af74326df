import type { Counts } from "./page/counters.ts";
import type { WorkloadName } from "./workloads.ts";

/** How long to time each cell. */
export interface TimingOptions {
  /** Most repetitions. */
  readonly reps: number;
  /** Milliseconds after which to stop repeating. */
  readonly budgetMs: number;
  /** Milliseconds that preparing and the first step may each take. */
  readonly timeoutMs: number;
}

/** An engine at a workload: why it was not measured, or what came out. */
export type Measurement<T = Timing> = { readonly skipped: string } | { readonly failed: string } | T;

/** What one page found. Times in milliseconds. */
export interface Round extends Checked {
  /** Of the repetitions, in their order. */
  readonly timesMs: readonly number[];
  /** Tokens that a step makes, 0 if none. */
  readonly tokens: number;
  readonly flop?: number;
}

interface Checked {
  readonly prepareMs: number;
  /** The first step: tracing and compiling included. */
  readonly first: { readonly ms: number; readonly pipelines: number };
  readonly error: number;
  readonly where: string;
  readonly right: boolean;
  /** What one step asks of WebGPU. */
  readonly counts: Counts;
  /** A step where several are enqueued before one wait; null if a step is too slow for that. */
  readonly pipelinedMs: number | null;
  readonly peakBytes: number;
}

/** All rounds of a cell together. */
export interface Timing extends Checked {
  readonly reps: number;
  readonly medianMs: number;
  readonly quartilesMs: readonly [number, number];
  readonly leastMs: number;
  readonly tokensPerSecond?: number;
  readonly gflops?: number;
}

export interface Cell {
  readonly workload: WorkloadName;
  readonly peer: string;
  readonly measurement: Measurement;
}

/** Bytes that an engine adds to a page. */
export interface BundleSize {
  readonly minified: number;
  readonly gzipped: number;
}

/** A run of the benchmark, as its JSON file holds it. */
export interface Report {
  readonly date: string;
  readonly command: string;
  readonly browser: string;
  readonly adapter: string;
  readonly machine: string;
  /** Processes that wanted the processor in the minute before the run; above 1, times are not to be trusted. */
  readonly load: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly options: TimingOptions & { readonly rounds: number };
  readonly sizes: Readonly<Record<string, BundleSize>>;
  readonly cells: readonly Cell[];
}

export const isMeasured = <T extends object>(measurement: Measurement<T>): measurement is T =>
  !("skipped" in measurement || "failed" in measurement);
