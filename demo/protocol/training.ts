import type { Settings } from "./settings.ts";

/** One training step as the charts show it. */
export interface Point {
  readonly step: number;
  /** Characters read since the start of the run. */
  readonly tokens: number;
  /** Seconds spent training since the start of the run; pauses do not count. */
  readonly seconds: number;
  /** Mean loss in nats a character. */
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly tokensPerSecond: number;
  readonly memoryBytes: number;
}

export interface HeldOutPoint extends Pick<Point, "step" | "tokens" | "seconds" | "loss"> {}

export interface Sample {
  readonly step: number;
  readonly loss: number;
  readonly text: string;
}

/** The run that the worker holds: model, optimiser and place in the text. */
export interface RunReport {
  readonly settings: Settings;
  readonly step: number;
  readonly parameters: number;
  /** Bytes that the model remembers of a text, whatever its length. */
  readonly stateBytes: number;
  /** Whether the text is at hand, so that the run can go on. */
  readonly resumable: boolean;
}

export type RunPhase = "training" | "paused" | "stopped" | "finished";

export interface TrainingCalls {
  /** Starts a new run; resolves when it is ready to take its first step. */
  train(settings: Settings): RunReport;
  /** Resolves once no step is running. */
  pause(): null;
  /** Goes on after a pause, a stop or a load. A run that reached its end gets as many steps again. */
  resume(): RunReport;
  stop(): null;
  /** Keeps a checkpoint in memory now: the page is about to be hidden. */
  keep(): null;
}

export type TrainingEvent =
  | { readonly kind: "progress"; readonly points: readonly Point[] }
  | { readonly kind: "heldOut"; readonly point: HeldOutPoint }
  | { readonly kind: "sample"; readonly sample: Sample }
  | { readonly kind: "phase"; readonly phase: RunPhase };
