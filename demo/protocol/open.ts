import type { CorpusId } from "../corpora/index.ts";
import type { Memory } from "./talk.ts";

/** Where a model comes from: files (a checkpoint, and its tokenizer where it holds none), an address, or one that ships with the page. */
export type ModelSource =
  | { readonly kind: "files"; readonly files: readonly File[] }
  | { readonly kind: "address"; readonly address: string }
  | { readonly kind: "starter"; readonly id: string };

/** A checkpoint that ships with the page, trained by this engine. */
export interface StarterChoice {
  readonly id: string;
  readonly model: string;
  readonly corpus: CorpusId;
  readonly parameters: number;
  /** Nats a character, on text that it did not learn from. */
  readonly loss: number;
  readonly steps: number;
  /** Characters that a step reads. */
  readonly each: number;
  /** Seconds of training. */
  readonly seconds: number;
  /** What it was trained on, in words. */
  readonly device: string;
}

/** A model that was opened to be talked to; no run trains it. */
export interface GuestReport extends Memory {
  readonly name: string;
  /** Its kind in the registry. */
  readonly model: string;
  readonly parameters: number;
  /** Different tokens. */
  readonly vocabulary: number;
}

export interface OpenCalls {
  starters(): readonly StarterChoice[];
  /** Opens a model, which is talked to from then on, until it is closed or a run goes on. */
  openModel(source: ModelSource): GuestReport;
  stopOpening(): null;
  closeModel(): null;
}

export type OpenEvent =
  /** Bytes of the file that came; `total` is null where nothing tells. */
  | { readonly kind: "opening"; readonly loaded: number; readonly total: number | null }
  /** The device was lost and is open again, and the opened model is read once more. */
  | { readonly kind: "modelReopening" }
  /** It is open as before, or cannot be read any more, as the sentence says. */
  | { readonly kind: "modelReopened"; readonly sentence: string | null }
  /** The opened model is gone: a run took its place, or it could not be read again. */
  | { readonly kind: "modelClosed" };
