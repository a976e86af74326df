import { generate } from "../../src/generate/generate.ts";
import { tokenChoices } from "../../src/generate/inspect.ts";
import { type SavedSession, Session } from "../../src/generate/session.ts";
import { ValueError } from "../../src/gpu/errors.ts";
import type { LanguageModel } from "../../src/models/language.ts";
import { modelKind } from "../../src/models/registry.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import type { Choices, GenerateOptions, GenerateReport, Memory, StateReport } from "../protocol.ts";
import { stateBytesOf, takes } from "./models.ts";

/** Streamed text leaves in portions, so that thousands of characters a second do not flood the page. */
const PORTION_MS = 30;
/** Tokens of an answer that can be looked at one by one. */
const LOOKED_AT = 1500;
/** Likeliest tokens that are told of each: all of a small vocabulary. */
const LIKELIEST = 128;
/** Tokens that one branch writes before it is the other's turn. */
const ROUND = 8;

/** A model that can be talked to: that of a run, or one that was opened. */
export class Voice {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly memory: Memory;
  /** A state to go on from, if one was kept. */
  kept: SavedSession | null = null;
  /** The text of the last answer, in the making. */
  private last: Session | null = null;

  constructor(model: LanguageModel, tokenizer: Tokenizer) {
    this.model = model;
    this.tokenizer = tokenizer;
    const { kind, contextLength } = model.config;
    const window = takes(modelKind(kind), "contextLength") ? Number(contextLength) : null;
    this.memory = {
      stateBytes: stateBytesOf(model),
      window,
      forgets: window !== null && model.contextLength > window,
      unit: tokenizer.toJSON().kind === "characters" ? "characters" : "tokens",
    };
  }

  /** Streams the model's continuation of a prompt, and tells what else was likely; its state can be kept. */
  async write(
    options: GenerateOptions,
    onPiece: (text: string, position: number) => void,
    signal?: AbortSignal,
  ): Promise<GenerateReport> {
    this.last?.dispose();
    this.last = null;
    const session = new Session(this.model);
    try {
      const { ids, from, ...told } = await this.stream(session, options, onPiece, signal);
      const choices = await this.look(Int32Array.from(ids), from);
      this.last = session;
      return { ...told, stateBytes: this.memory.stateBytes, stopped: signal?.aborted ?? false, choices };
    } finally {
      if (this.last !== session) session.dispose();
    }
  }

  /** The model's continuation of a prompt, at once. */
  async sample(options: GenerateOptions): Promise<string> {
    const session = new Session(this.model);
    try {
      const { text } = await this.stream(session, options, () => {});
      return text.slice(options.prompt.length);
    } finally {
      session.dispose();
    }
  }

  /** What is kept, in numbers. */
  get keptState(): StateReport | null {
    return this.kept && { position: this.kept.position, bytes: this.memory.stateBytes };
  }

  /** Keeps the state after the last answer. @throws ValueError before the first */
  async keep(): Promise<void> {
    this.kept = await this.lastState();
  }

  /** Goes on from the kept state, or else from the last answer, twice in turns, the second time with the next seed. */
  async branch(
    { prompt: _, length, seed, ...sampling }: GenerateOptions,
    onPiece: (branch: 0 | 1, text: string) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    const from = this.kept ?? (await this.lastState());
    const branches = ([0, 1] as const).map((branch) => {
      const session = new Session(this.model);
      return { branch, session, stream: this.tokenizer.stream() };
    });
    try {
      for (const { session } of branches) session.restore(from);
      for (let done = 0; done < length && !signal?.aborted; done += ROUND) {
        for (const { branch, session, stream } of branches) {
          const options = { ...sampling, ...(done === 0 && { seed: seed + branch }), signal };
          let text = "";
          for await (const id of session.generate({ ...options, maxTokens: Math.min(ROUND, length - done) }))
            text += stream.push(id);
          onPiece(branch, text);
        }
      }
    } finally {
      for (const { session } of branches) session.dispose();
    }
  }

  dispose(): void {
    this.last?.dispose();
    this.model.dispose();
  }

  private async stream(
    session: Session,
    { prompt, length, ...sampling }: GenerateOptions,
    onPiece: (text: string, position: number) => void,
    signal?: AbortSignal,
  ) {
    const start = performance.now();
    const ids = [...this.tokenizer.encode(prompt)];
    const from = ids.length;
    const onToken = (id: number) => void ids.push(id);
    let first = 0;
    let portion = "";
    let sent = start;
    let text = prompt;
    const pieces = generate(this.model, this.tokenizer, {
      ...sampling,
      prompt,
      maxTokens: length,
      signal,
      session,
      onToken,
    });
    for await (const piece of pieces) {
      const now = performance.now();
      first ||= now;
      portion += piece;
      text += piece;
      if (now - sent < PORTION_MS) continue;
      onPiece(portion, session.position);
      portion = "";
      sent = now;
    }
    if (portion) onPiece(portion, session.position);
    const end = performance.now();
    const tokens = ids.length - from;
    return {
      text,
      ids,
      from,
      tokens,
      tokensPerSecond: (1000 * tokens) / (end - start),
      firstTokenMs: (first || end) - start,
    };
  }

  private async lastState(): Promise<SavedSession> {
    if (!this.last) throw new ValueError("state: there is none to keep yet; let the model write first");
    return this.last.save();
  }

  /** What else was likely at each token that was written, those from `from` on. */
  private async look(ids: Int32Array<ArrayBuffer>, from: number): Promise<Choices | null> {
    const { tokenizer } = this;
    // The first token of a text was foretold by nothing that the page shows.
    const first = Math.max(from, 1);
    if (ids.length > LOOKED_AT || ids.length <= first) return null;
    const rows = (await tokenChoices(this.model, ids, LIKELIEST)).slice(first - 1);
    const count = rows[0]?.top.length ?? 0;
    const flat = rows.flatMap(({ top }) => top);
    const texts = new Map<number, string>();
    for (const { id } of flat) if (!texts.has(id)) texts.set(id, tokenizer.decode([id]));
    const stream = tokenizer.stream();
    return {
      ids,
      from: first,
      written: Array.from(ids.subarray(first), (id) => stream.push(id)),
      own: Float32Array.from(rows, ({ probability }) => probability),
      count,
      likely: Int32Array.from(flat, ({ id }) => id),
      logits: Float32Array.from(flat, ({ logit }) => logit),
      shares: Float32Array.from(flat, ({ probability }) => probability),
      texts,
    };
  }
}
