/** What a checkpoint stores of a tokenizer; plain JSON. */
export type TokenizerDescription =
  | { readonly kind: "characters"; readonly codePoints: readonly number[] }
  | { readonly kind: "bytes" }
  /** Bytes of each token by id, a character a byte; null where there is none. */
  | { readonly kind: "world"; readonly tokens: readonly (string | null)[] }
  | { readonly kind: "gpt2" }
  | { readonly kind: "tokenizer.json"; readonly vocabSize: number; readonly json: object; readonly config: object };

/** Turns tokens that arrive one by one into text; the pieces joined are the decoded whole. One for each generation. */
export interface TextStream {
  /** The text that `id` completes, often its character, or "" within a character of several tokens. */
  push(id: number): string;
  /** What is left at the end: "", or U+FFFD for a character that was never completed. */
  flush(): string;
}

/** Text to token ids, 0 to vocabSize - 1, and back. */
export interface Tokenizer {
  readonly vocabSize: number;
  /** The token that ends a text, where the vocabulary has one: generated, it ends the generation and is not shown. */
  readonly endOfText?: number | undefined;
  /** @throws ValueError naming the first part of `text` that has no token. */
  encode(text: string): Int32Array<ArrayBuffer>;
  /** @throws ValueError for an id outside the vocabulary. */
  decode(ids: ArrayLike<number>): string;
  stream(): TextStream;
  /** The description from which `tokenizerFromJSON` rebuilds it. */
  toJSON(): TokenizerDescription;
}
