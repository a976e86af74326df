import type { HeldOutPoint, Point, RunReport, Sample } from "./training.ts";

/** A run's curves, thin enough to travel in a checkpoint. */
export interface History {
  readonly points: readonly Point[];
  readonly heldOut: readonly HeldOutPoint[];
  readonly samples: readonly Sample[];
}

/** A loaded file: the run with the story so far. */
export interface LoadReport extends RunReport {
  readonly history: History;
}

export interface FileCalls {
  save(): ArrayBuffer;
  /** Whether a file holds a run of this page, and not only a model. */
  holdsRun(file: File): boolean;
  load(file: ArrayBuffer): LoadReport;
}
