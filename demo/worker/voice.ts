import { generate } from "../../src/generate/generate.ts";
import { Session } from "../../src/generate/session.ts";
import type { LanguageModel } from "../../src/models/language.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import type { GenerateOptions, GenerateReport } from "../protocol.ts";

/** Streamed text leaves in portions, so that thousands of characters a second do not flood the page. */
const PORTION_MS = 30;

/** A model that can be talked to: that of a run, or one that was opened. */
export class Voice {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** Bytes that the model remembers of one text. */
  readonly stateBytes: number;

  constructor(model: LanguageModel, tokenizer: Tokenizer) {
    this.model = model;
    this.tokenizer = tokenizer;
    const state = model.initialState(1);
    this.stateBytes = state.byteLength;
    state.dispose();
  }

  /** Streams the model's continuation of a prompt. */
  async write(
    options: GenerateOptions,
    onPiece: (text: string) => void,
    signal?: AbortSignal,
  ): Promise<GenerateReport> {
    const { prompt, length, ...sampling } = options;
    const start = performance.now();
    let first = 0;
    let tokens = 0;
    let portion = "";
    let sent = start;
    const session = new Session(this.model);
    try {
      for await (const piece of generate(this.model, this.tokenizer, {
        ...sampling,
        prompt,
        maxTokens: length,
        signal,
        session,
      })) {
        const now = performance.now();
        if (tokens === 0) first = now;
        tokens += [...piece].length;
        portion += piece;
        if (now - sent < PORTION_MS) continue;
        onPiece(portion);
        portion = "";
        sent = now;
      }
    } finally {
      session.dispose();
    }
    if (portion) onPiece(portion);
    return {
      tokens,
      tokensPerSecond: (1000 * tokens) / (performance.now() - start),
      firstTokenMs: (first || performance.now()) - start,
      stateBytes: this.stateBytes,
      stopped: signal?.aborted ?? false,
    };
  }

  dispose(): void {
    this.model.dispose();
  }
}
