/** How a model remembers a text. */
export interface Memory {
  /** Bytes, once it is full. */
  readonly stateBytes: number;
  /** Tokens that fill the memory of a model that sees only so far back; null for a state of one size. */
  readonly window: number | null;
  /** Whether a text may go on beyond the window. */
  readonly forgets: boolean;
  /** What its tokens are: single characters, or pieces of text. */
  readonly unit: "characters" | "tokens";
}

export interface GenerateOptions {
  readonly prompt: string;
  /** Tokens to write. */
  readonly length: number;
  readonly temperature: number;
  /** 0 switches top-k off. */
  readonly topK: number;
  /** 1 switches top-p off. */
  readonly topP: number;
  /** 0 switches min-p off. */
  readonly minP: number;
  /** 1 switches the penalty off. */
  readonly repetitionPenalty: number;
  readonly seed: number;
}

/** What the model held likely at each token that it wrote; rows of equal length, one a token. */
export interface Choices {
  /** Ids of the whole text, prompt included. */
  readonly ids: Int32Array;
  /** Index in `ids` of the first token that was written. */
  readonly from: number;
  /** The written tokens as text. */
  readonly written: readonly string[];
  /** Probability of each, before temperature and the like. */
  readonly own: Float32Array;
  /** Likeliest tokens of a row. */
  readonly count: number;
  /** [written, count], likeliest first. */
  readonly likely: Int32Array;
  readonly logits: Float32Array;
  readonly shares: Float32Array;
  /** Text of each token in `likely`. */
  readonly texts: ReadonlyMap<number, string>;
}

export interface GenerateReport {
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly firstTokenMs: number;
  readonly stateBytes: number;
  readonly stopped: boolean;
  /** Null for an answer that is too long to look at. */
  readonly choices: Choices | null;
}

/** A model's memory of a text, kept to go on from more than once. */
export interface StateReport {
  /** Tokens read and written up to there. */
  readonly position: number;
  readonly bytes: number;
}

export interface TalkCalls {
  generate(options: GenerateOptions): GenerateReport;
  stopGenerating(): null;
  /** Keeps the state after the last answer; of a run, where the run is kept. */
  keepState(): StateReport;
  /** Continues the kept state twice, with two seeds; without one, the state after the last answer. */
  branch(options: GenerateOptions): null;
}

export type TalkEvent =
  /** More of the answer; `position` counts the tokens read and written so far. */
  | { readonly kind: "piece"; readonly text: string; readonly position: number }
  /** More of the first or second continuation. */
  | { readonly kind: "branched"; readonly branch: 0 | 1; readonly text: string };
