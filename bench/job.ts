/** What a run is asked to do and what it answers: plain data, so that it passes into a page and out of it. */
import type { Kernel } from "../src/gpu/kernel.ts";
import type { AdapterKind } from "./adapter.ts";
import type { Clock, Result, TimingOptions } from "./measure.ts";
import type { Roofline, RooflineKernels } from "./roofline/roofline.ts";
import type { Row } from "./scenarios/scenario.ts";

/** A kernel without a line in the suite. */
export interface KernelJob {
  readonly file: string;
  readonly kernel: Kernel;
  readonly entry: string;
  /** Uniform fields and override knobs by name; sizes of buffers follow from them. */
  readonly sizes: Readonly<Record<string, number>>;
}

export interface Job {
  readonly what: "suite" | "kernels" | "scenario";
  /** Names of lines to measure. */
  readonly lines: readonly string[];
  readonly kernels: readonly KernelJob[];
  readonly scenario: string | null;
  readonly quick: boolean;
  readonly timing: TimingOptions;
  readonly roofline: RooflineKernels;
  /** What the run must get; null takes what there is. */
  readonly adapter: AdapterKind | null;
  readonly power: GPUPowerPreference | null;
}

export interface Machine {
  /** As the device describes itself. */
  readonly adapter: string;
  /** A CPU emulates the GPU. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly clock: Clock;
  /** Microseconds by which performance.now steps, which times JavaScript; missing in runs kept before it was measured. */
  readonly scriptTickUs?: number;
}

export interface Outcome {
  readonly machine: Machine;
  readonly roofline: Roofline | null;
  readonly results: readonly Result[];
  readonly rows: readonly Row[];
}

/** A kept run. */
export interface Report extends Outcome {
  readonly date: string;
  readonly command: string;
  readonly runtime: string;
  readonly host: string;
  /** Processes that wanted the processor before the run; near the number of processors, times are not to be trusted. */
  readonly load: number;
}

export type Progress = (text: string) => void;
