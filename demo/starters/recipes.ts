import type { RunSettings } from "../../src/train/run.ts";
import type { CorpusId } from "../corpora/index.ts";

/** How a checkpoint that ships with the page is made; `scripts/starters.ts` makes them all. */
export interface Recipe {
  readonly id: string;
  readonly model: string;
  readonly corpus: CorpusId;
  readonly width: number;
  readonly layers: number;
  readonly seed: number;
  readonly settings: Required<Omit<RunSettings, "maxNorm" | "validation">>;
}

/** What came of it. */
export interface Starter {
  readonly parameters: number;
  /** Nats a character, on text that it did not learn from. */
  readonly loss: number;
  /** Seconds of training. */
  readonly seconds: number;
  /** What it was trained on, in words. */
  readonly device: string;
}

export const recipes: readonly Recipe[] = [
  {
    ...{ id: "lstm", model: "lstm", corpus: "moby-dick", width: 192, layers: 1, seed: 1 },
    settings: { batchSize: 8, seqLength: 64, lr: 0.006, steps: 600 },
  },
  {
    ...{ id: "rwkv7", model: "rwkv7", corpus: "moby-dick", width: 64, layers: 2, seed: 1 },
    settings: { batchSize: 8, seqLength: 64, lr: 0.006, steps: 1500 },
  },
];
