import { ValueError } from "../gpu/errors.ts";
import type { LanguageModel } from "../models/language.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type GenerateTokensOptions, Session } from "./session.ts";

/** What `generate` writes, and how. */
export interface GenerateOptions extends GenerateTokensOptions {
  /** Text to continue; empty: the start of a line. */
  readonly prompt?: string;
  /** Texts that end the generation when they appear; they are not part of the result. */
  readonly stop?: readonly string[];
  /** Continue this session instead of a new text; it stays open and can go on afterwards. */
  readonly session?: Session;
  /** Called with the id of each token before its text comes; a token may end within a character, and give none. */
  readonly onToken?: (id: number) => void;
}

/**
 * Streams text from a model: an async iterator of pieces that never split a character. Ends after `maxTokens`,
 * at a stop text, at the token that ends a text where the tokenizer has one, or when `signal` aborts; leaving the loop
 * early is fine too.
 *
 * @example
 * for await (const piece of generate(model, tokenizer, { prompt: "Call me", temperature: 0.8 })) output.append(piece);
 *
 * @throws ValueError if the prompt has characters that the tokenizer lacks, or an option is out of range
 */
export async function* generate(
  model: LanguageModel,
  tokenizer: Tokenizer,
  options: GenerateOptions = {},
): AsyncGenerator<string, void, void> {
  const { prompt = "", stop = [], session = new Session(model), onToken } = options;
  if (stop.some((text) => text === ""))
    throw new ValueError("generate: a stop text is empty; give the text that should end the generation");
  const stream = tokenizer.stream();
  const filter = new StopFilter(stop);
  try {
    const ids = tokenizer.encode(prompt);
    if (ids.length > 0) session.feed(ids);
    else if (session.position === 0) session.feed(lineStart(tokenizer));
    for await (const id of session.generate(options)) {
      if (id === tokenizer.endOfText) break;
      onToken?.(id);
      const piece = filter.push(stream.push(id));
      if (piece) yield piece;
      if (filter.stopped) return;
    }
    const rest = filter.push(stream.flush()) + filter.flush();
    if (rest) yield rest;
  } finally {
    if (!options.session) session.dispose();
  }
}

/** A token to start from when there is no prompt: a line break where the vocabulary has one. */
function lineStart(tokenizer: Tokenizer): Int32Array<ArrayBuffer> {
  try {
    return tokenizer.encode("\n");
  } catch {
    return new Int32Array([0]);
  }
}

/** Holds back text that may be the beginning of a stop text. */
class StopFilter {
  stopped = false;
  private readonly stops: readonly string[];
  private held = "";

  constructor(stops: readonly string[]) {
    this.stops = stops;
  }

  push(piece: string): string {
    if (this.stopped) return "";
    this.held += piece;
    const hits = this.stops.map((stop) => this.held.indexOf(stop)).filter((at) => at >= 0);
    if (hits.length > 0) {
      this.stopped = true;
      const text = this.held.slice(0, Math.min(...hits));
      this.held = "";
      return text;
    }
    const keep = Math.max(0, ...this.stops.map((stop) => overlap(this.held, stop)));
    const text = this.held.slice(0, this.held.length - keep);
    this.held = this.held.slice(text.length);
    return text;
  }

  flush(): string {
    const text = this.stopped ? "" : this.held;
    this.held = "";
    return text;
  }
}

/** Length of the longest end of `text` with which `stop` begins. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}
