import type { CostPoint } from "./compare.ts";
import type { Settings } from "./settings.ts";
import type { StateReport } from "./talk.ts";

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

export interface HeldOutPoint extends Pick<Point, "step" | "tokens" | "seconds" | "loss"> {
  /** Of a task: the share of held-out questions that the model answers right to the last character. */
  readonly accuracy?: number;
}

export interface Sample {
  readonly step: number;
  readonly loss: number;
  readonly text: string;
}

/** A run: model, optimiser and place in the text. The worker holds one of them. */
export interface RunReport {
  readonly id: string;
  /** What the visitor calls it; null for its model and size. */
  readonly name: string | null;
  /** The comparison that it is part of, if any. */
  readonly comparison: string | null;
  /** What a token costs it after texts of several lengths; empty before that was measured. */
  readonly cost: readonly CostPoint[];
  readonly settings: Settings;
  readonly step: number;
  readonly parameters: number;
  /** Bytes that the model remembers of a text, whatever its length. */
  readonly stateBytes: number;
  /** The state that was kept of a text, to go on from. */
  readonly keptState: StateReport | null;
  /** Whether the text is at hand, so that the run can go on. */
  readonly resumable: boolean;
}

export type RunPhase = "training" | "paused" | "stopped" | "finished";

export interface TrainingCalls {
  /** Starts a new run; resolves when it is ready to take its first step. */
  train(settings: Settings, comparison?: string): RunReport;
  /** Resolves once no step is running. */
  pause(): null;
  /** Goes on after a pause, a stop or a load. A run that reached its end gets as many steps again. */
  resume(): RunReport;
  stop(): null;
  /** Keeps a checkpoint now: the page is about to be hidden. */
  keep(): null;
}

export type TrainingEvent =
  | { readonly kind: "progress"; readonly points: readonly Point[] }
  | { readonly kind: "heldOut"; readonly point: HeldOutPoint }
  | { readonly kind: "sample"; readonly sample: Sample }
  | { readonly kind: "phase"; readonly phase: RunPhase };
