/** A model at work on a short text, in numbers to be drawn. */
export interface Look {
  /** The text's tokens as text. */
  readonly tokens: readonly string[];
  /** Whether the text went on after them. */
  readonly cut: boolean;
  /** What tells most comes first. */
  readonly parts: readonly LookPart[];
}

/** One picture's worth of a model: rows over tokens. */
export interface LookPart {
  /** In words: "Layer 1, attention of head 2". */
  readonly name: string;
  readonly kind: "attention" | "state";
  /** Which token or unit each row is, from 0. */
  readonly rows: readonly number[];
  /** Rows that there would be if all were shown. */
  readonly of: number;
  /** [rows, tokens]: the weight that a row gives a token, or the value of a unit after a token. */
  readonly values: Float32Array;
}

export interface LookCalls {
  /** @param text of which the first few dozen characters are read */
  look(text: string): Look;
}
