import type { TextId } from "./texts.ts";

export type ScheduleName = "constant" | "linear" | "cosine";

/** Everything that decides what a run does; saved with its checkpoint. */
export interface Settings {
  readonly model: string;
  readonly text: TextId;
  readonly layers: number;
  /** Channels of a layer: hidden units, or the width of the residual stream. */
  readonly width: number;
  /** Characters back that an attention layer sees; recurrent layers have no such limit. */
  readonly context: number;
  /** Sizes of this model that the visitor set; the others follow from the width. */
  readonly options: Readonly<Record<string, number>>;
  readonly batch: number;
  readonly sequence: number;
  /** Training steps from the start of the run to its end. */
  readonly steps: number;
  readonly learningRate: number;
  readonly schedule: ScheduleName;
  /** Largest global gradient norm; 0 switches clipping off. */
  readonly clip: number;
  readonly seed: number;
}

/** The settings that the size slider stands for; everything but model, its options, text and seed. */
export type Size = Omit<Settings, "model" | "options" | "text" | "seed">;

/** What a step takes on this device, measured. */
export interface Probe {
  /** Kernel launches. */
  readonly dispatches: number;
  readonly milliseconds: number;
}

/** What a run would need, before it starts. */
export interface Plan {
  readonly parameters: number;
  /** Bytes on the GPU while training: weights, gradients, optimiser state, activations. */
  readonly memoryBytes: number;
  /** The value of each of the model's options, set or not. */
  readonly options: Readonly<Record<string, number>>;
  /** Why this cannot run here and what to change; null if it can. */
  readonly obstacle: string | null;
}

export interface SettingsCalls {
  plan(settings: Settings): Plan;
  /** Takes a few steps of such a run, to measure one; null if something more urgent came. */
  probe(settings: Settings): Probe | null;
}
