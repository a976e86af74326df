import { ValueError } from "../gpu/errors.ts";
import { checkBatchShape } from "./batches.ts";
import { encodeSource, type TextSource } from "./source.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** A text as token ids, in two parts that share no token: for training, and held out. */
export interface Corpus {
  readonly tokenizer: Tokenizer;
  readonly train: Int32Array<ArrayBuffer>;
  readonly validation: Int32Array<ArrayBuffer>;
}

export interface SplitOptions {
  /** Part of the tokens held out, from the end of the text: 0 (none) to below 1, by default 0.1. */
  readonly validation?: number;
  /** Tokens of a training sequence; each part has at least one such sequence with its targets. By default 1. */
  readonly seqLength?: number;
  /** Sequences of a batch, for parts that hold at least one batch of parallel streams. By default 1. */
  readonly batchSize?: number;
}

/**
 * Encodes and splits a text.
 *
 * @param options.tokenizer as for `encodeSource`: by default "characters", all that occur in the text
 * @throws ValueError if the text is empty, too short, or has characters that the tokenizer lacks
 */
export async function readCorpus(
  source: TextSource,
  options: SplitOptions & { readonly tokenizer?: Tokenizer | "characters" | "bytes" } = {},
): Promise<Corpus> {
  const { ids, tokenizer } = await encodeSource(source, options.tokenizer);
  return { tokenizer, ...splitIds(ids, options) };
}

/**
 * The first tokens for training and the last for validation, as views of `ids`. The validation part is at least one
 * batch, batchSize * seqLength + 1 tokens, and so is the training part.
 *
 * @throws ValueError if `ids` are too few for both
 */
export function splitIds(ids: Int32Array<ArrayBuffer>, options: SplitOptions = {}): Omit<Corpus, "tokenizer"> {
  const { validation = 0.1, seqLength = 1, batchSize = 1 } = options;
  if (!(validation >= 0 && validation < 1))
    throw new ValueError(`splitIds: validation must be a fraction from 0 to below 1, got ${validation}`);
  checkBatchShape("splitIds", { batchSize, seqLength });
  const needed = batchSize * seqLength + 1;
  const heldOut = validation === 0 ? 0 : Math.max(needed, Math.floor(ids.length * validation));
  const forTraining = ids.length - heldOut;
  if (forTraining < needed) {
    const parts = heldOut ? `${heldOut} for validation and at least ${needed} for training` : `${needed} for training`;
    throw new ValueError(
      `splitIds: the text has ${ids.length} tokens, but ${batchSize} x ${seqLength} tokens a batch need ${parts}; ` +
        "use a longer text, shorter sequences or a smaller batch",
    );
  }
  return { train: ids.subarray(0, forTraining), validation: ids.subarray(forTraining) };
}
