import type { Tokenizer } from "../text/tokenizer.ts";

/** Tokens that a model may have beyond those of its tokenizer, which training programs round up. */
const PADDING = 256;

/** Whether a tokenizer can be that of a model with `vocabSize` tokens. */
export function fitsVocabulary(vocabSize: number, tokenizer: Tokenizer): boolean {
  const extra = vocabSize - tokenizer.vocabSize;
  return extra >= 0 && extra < PADDING;
}
