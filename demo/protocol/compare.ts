import type { Settings } from "./settings.ts";

/** What one more token costs a model after a text of some length. */
export interface CostPoint {
  /** Characters read before. */
  readonly context: number;
  readonly milliseconds: number;
  /** Bytes that it remembers of the text. */
  readonly bytes: number;
}

/** One side of a comparison, before it starts. */
export interface Contender {
  readonly settings: Settings;
  readonly parameters: number;
  /** Why it cannot run here; null if it can. */
  readonly obstacle: string | null;
}

export interface CompareCalls {
  /** The settings for each model, its width chosen so that its parameters come nearest those of `settings`. */
  match(settings: Settings, models: readonly string[]): readonly Contender[];
  /** Measures what a token costs the run that the worker holds. */
  measureCost(): readonly CostPoint[];
}
