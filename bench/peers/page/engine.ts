import type { Outputs, Workload } from "../workloads.ts";

/** An engine as the benchmark sees it; each file in adapters/ exports one as `engine`. */
export interface Engine {
  /** Why it cannot do a workload, in one sentence; null if it can. */
  unsupported(workload: Workload): string | null;
  /** Uploads inputs and builds the model. What a first step costs (tracing, compiling) belongs into that step. */
  prepare(workload: Workload): Promise<Work>;
}

/** One workload, ready to run. A timed repetition is `step` and `sync`. */
export interface Work {
  /** Enqueues one step: a forward pass, a forward and a backward pass, a training step, or 64 generated tokens. */
  step(): void | Promise<void>;
  /** Resolves when everything enqueued has run on the device. */
  sync(): Promise<void>;
  /** Results of the last step, under the names of reference/reference.ts; `loss` for training. */
  read(): Promise<Outputs>;
  dispose(): void | Promise<void>;
}
