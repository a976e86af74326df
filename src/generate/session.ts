import { noGrad } from "../autograd/mode.ts";
import type { Device } from "../gpu/device.ts";
import { DisposedError, FileError, NonFiniteError, ValueError } from "../gpu/errors.ts";
import type { Plan } from "../gpu/plan.ts";
import type { Decoder, LanguageModel } from "../models/language.ts";
import { ModelState } from "../models/state.ts";
import type { HostTensor } from "../nn/module.ts";
import { reshape } from "../ops/reshape.ts";
import { NO_TOKEN, Sampler, type SamplerState, type SamplingOptions } from "../ops/sample.ts";
import { slice } from "../ops/slice.ts";
import { capture } from "../tensor/capture.ts";
import { tensor, zeros } from "../tensor/create.ts";
import { keep, scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface GenerateTokensOptions extends SamplingOptions {
  /** Tokens to generate; default 256. */
  readonly maxTokens?: number;
  /** Ends the generation after the tokens already taken; nothing is lost. */
  readonly signal?: AbortSignal;
  /** Tokens generated between two read-backs; default 8. */
  readonly readEvery?: number;
}

/** A session on the host: with the checkpoint it continues bit for bit on the same device. */
export interface SavedSession {
  readonly model: ReadonlyMap<string, HostTensor>;
  readonly sampler: SamplerState;
  /** Tokens seen so far, prompts included. */
  readonly position: number;
}

/** Prompt tokens that one pass of the parallel form takes. */
const PROMPT_CHUNK = 64;
const READ_EVERY = 8;
const LOGITS = "logits";

/**
 * One text in the making: the model's state after the tokens so far, and the logits of the next. The sampled
 * token feeds the next step on the GPU; tokens come back a few at a time.
 */
export class Session {
  readonly model: LanguageModel;
  private readonly device: Device;
  private readonly decoder: Decoder;
  private readonly sampler: Sampler;
  /** Model state and next logits; the captured steps read and overwrite it in place. */
  private readonly now: ModelState;
  /** What `now` was before the last batch of tokens, to give back those that nobody took. */
  private readonly before: ModelState;
  private readonly plans = new Map<number, Plan<null>>();
  private seen = 0;
  private busy = false;
  private disposed = false;

  constructor(model: LanguageModel) {
    this.model = model;
    this.device = model.device;
    model.eval();
    this.decoder = model.decoder();
    const vocabSize = model.config.vocabSize;
    this.sampler = new Sampler(this.device, { batch: 1, vocabSize, history: 64 });
    const start = model.initialState(1);
    const logits = keep(zeros(this.device, [1, vocabSize]));
    this.now = new ModelState({ ...start.tensors, [LOGITS]: logits, ...prefixed(this.sampler) });
    this.before = this.now.copy();
  }

  /** Tokens seen so far, prompts included. */
  get position(): number {
    return this.seen;
  }

  /** Bytes of the state that grows with nothing (recurrent models) or with the text (attention). */
  get byteLength(): number {
    return this.now.byteLength;
  }

  /** Reads tokens in the parallel form, in chunks, without generating. */
  feed(ids: Int32Array<ArrayBuffer>): void {
    this.check("feed");
    for (let at = 0; at < ids.length; at += PROMPT_CHUNK) {
      const chunk = ids.slice(at, at + PROMPT_CHUNK);
      scope(() =>
        noGrad(() => {
          const tokens = tensor(this.device, chunk, [1, chunk.length]);
          const { logits, state } = this.model.forward(tokens, this.modelState());
          const last = slice(logits, 1, chunk.length - 1, chunk.length);
          this.assign(state, reshape(last, [1, -1]));
        }),
      );
    }
    this.sampler.see(ids);
    this.seen += ids.length;
  }

  /**
   * Generates tokens after those seen so far, as they come back from the device.
   * @throws ValueError before anything was fed, or while another generation runs
   * @throws NonFiniteError if the logits are not finite
   */
  async *generate(options: GenerateTokensOptions = {}): AsyncGenerator<number, void, void> {
    const { maxTokens = 256, signal, readEvery = READ_EVERY } = options;
    this.check("generate");
    if (this.seen === 0) throw new ValueError("generate: the session has seen no token; feed a prompt first");
    if (!(Number.isInteger(maxTokens) && maxTokens >= 0)) throw new ValueError(`generate: maxTokens is ${maxTokens}; use a whole number of 0 or more`);
    this.sampler.set(options);
    this.busy = true;
    try {
      for (let left = maxTokens; left > 0 && !signal?.aborted; ) {
        const count = left >= readEvery ? readEvery : 1;
        const ids = await this.advance(count);
        let taken = 0;
        try {
          for (const id of ids) {
            if (signal?.aborted) break;
            taken++;
            yield id;
          }
        } finally {
          if (taken < count) await this.rewind(count, taken);
        }
        left -= taken;
      }
    } finally {
      this.busy = false;
    }
  }

  /** An independent session that continues from here. */
  branch(): Session {
    this.check("branch");
    const other = new Session(this.model);
    other.now.assign(this.now);
    other.sampler.restoreFrom(this.sampler);
    other.seen = this.seen;
    return other;
  }

  async save(): Promise<SavedSession> {
    this.check("save");
    return { model: await this.now.data(), sampler: await this.sampler.state(), position: this.seen };
  }

  /** @throws FileError if it was saved from another model; nothing changes then */
  restore(saved: SavedSession): void {
    this.check("restore");
    if (!(Number.isInteger(saved.position) && saved.position >= 0)) throw new FileError("session", `restore: the saved position is ${saved.position}; the session is damaged`);
    this.now.restore(saved.model);
    this.sampler.restore(saved.sampler);
    this.seen = saved.position;
  }

  /** Back to the state before the first token. */
  reset(): void {
    this.check("reset");
    this.now.reset();
    this.sampler.reset();
    this.seen = 0;
  }

  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    for (const plan of this.plans.values()) plan.dispose();
    this.now.dispose();
    this.before.dispose();
    this.sampler.dispose();
    this.decoder.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
