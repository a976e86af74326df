export interface GenerateOptions {
  readonly prompt: string;
  /** Characters to write. */
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

export interface GenerateReport {
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly firstTokenMs: number;
  readonly stateBytes: number;
  readonly stopped: boolean;
}

export interface TalkCalls {
  generate(options: GenerateOptions): GenerateReport;
  stopGenerating(): null;
}

export type TalkEvent = { readonly kind: "piece"; readonly text: string };
