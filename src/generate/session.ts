import { noGrad } from "../autograd/mode.ts";
import type { Device } from "../gpu/device.ts";
import { DisposedError, FileError, NonFiniteError, ValueError } from "../gpu/errors.ts";
import type { Plan } from "../gpu/plan.ts";
import type { Decoder, LanguageModel } from "../models/language.ts";
import { ModelState } from "../models/state.ts";
import type { HostTensor } from "../nn/module.ts";
import { reshape } from "../ops/reshape.ts";
import { Sampler, type SamplerState, type SamplingOptions } from "../ops/sample.ts";
import { slice } from "../ops/slice.ts";
import { capture } from "../tensor/capture.ts";
import { tensor, zeros } from "../tensor/create.ts";
import { keep, scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How many tokens a session generates, and how they are drawn. */
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
/** Tokens that the sampler keeps until they are read. */
const HISTORY = 64;
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
  /** State and sampler before the last tokens, to take back those that nobody wanted. */
  private readonly before: ModelState;
  private readonly samplerBefore: Sampler;
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
    const seed = crypto.getRandomValues(new Uint32Array(1))[0] as number;
    this.sampler = new Sampler(this.device, { vocabSize, history: HISTORY, seed });
    this.samplerBefore = new Sampler(this.device, { vocabSize, history: HISTORY });
    const logits = keep(zeros(this.device, [1, vocabSize]));
    this.now = new ModelState({ ...model.initialState(1).tensors, [LOGITS]: logits });
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
    this.checkRoom("feed", ids.length);
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
      this.seen += chunk.length;
    }
    this.sampler.see(ids);
  }

  /**
   * Generates tokens after those seen so far, as they come back from the device; ends where the model's context does.
   * @throws ValueError before anything was fed, or while another generation runs
   * @throws NonFiniteError if the logits are not finite
   */
  async *generate(options: GenerateTokensOptions = {}): AsyncGenerator<number, void, void> {
    const { maxTokens = 256, signal, readEvery = READ_EVERY } = options;
    this.check("generate");
    if (this.seen === 0) throw new ValueError("generate: the session has seen no token; feed a prompt first");
    if (!(Number.isInteger(maxTokens) && maxTokens >= 0))
      throw new ValueError(`generate: maxTokens is ${maxTokens}; use a whole number of 0 or more`);
    if (!(Number.isInteger(readEvery) && readEvery >= 1 && readEvery <= HISTORY))
      throw new ValueError(`generate: readEvery is ${readEvery}; use 1 to ${HISTORY}`);
    const { contextLength } = this.model;
    if (maxTokens > 0) this.checkRoom("generate", 1);
    this.sampler.set(options);
    this.busy = true;
    try {
      for (let left = Math.min(maxTokens, contextLength - this.seen); left > 0 && !signal?.aborted; ) {
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
    const { position } = saved;
    if (!(Number.isInteger(position) && position >= 0 && position <= this.model.contextLength))
      throw new FileError("session", `restore: the saved position is ${position}; the session is damaged`);
    // By way of the spare sampler: either may refuse what was saved, and then neither has changed.
    this.samplerBefore.restore(saved.sampler);
    this.now.restore(saved.model);
    this.sampler.restoreFrom(this.samplerBefore);
    this.seen = position;
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
    for (const own of [this.now, this.before, this.sampler, this.samplerBefore, this.decoder]) own.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The next `count` tokens; if they cannot be had, the session is as before. */
  private async advance(count: number): Promise<number[]> {
    const plan = await this.plan(count);
    this.before.assign(this.now);
    this.samplerBefore.restoreFrom(this.sampler);
    plan.replay();
    try {
      const [ids] = await this.sampler.take();
      this.seen += count;
      return ids as number[];
    } catch (error) {
      if (error instanceof NonFiniteError) this.goBack();
      throw error;
    }
  }

  /** Takes back all but the first `taken` of the last `count` tokens, by drawing those again from the same state. */
  private async rewind(count: number, taken: number): Promise<void> {
    this.goBack();
    this.seen -= count - taken;
    if (taken === 0) return;
    const plan = await this.plan(1);
    for (let i = 0; i < taken; i++) plan.replay();
    await this.sampler.take();
  }

  private goBack(): void {
    this.now.assign(this.before);
    this.sampler.restoreFrom(this.samplerBefore);
  }

  /** `count` rounds of: draw a token from the logits, feed it to the model. */
  private async plan(count: number): Promise<Plan<null>> {
    let plan = this.plans.get(count);
    if (!plan) {
      plan = await capture(this.device, () =>
        noGrad(() => {
          let state = this.modelState();
          let logits = this.now.tensors[LOGITS] as Tensor<"f32">;
          for (let i = 0; i < count; i++) ({ state, logits } = this.decoder.step(this.sampler.record(logits), state));
          this.assign(state, logits);
          return null;
        }),
      );
      this.plans.set(count, plan);
    }
    return plan;
  }

  private modelState(): ModelState {
    const { [LOGITS]: _, ...tensors } = this.now.tensors;
    return new ModelState(tensors, this.seen);
  }

  /** @throws ValueError if the model has no place for so many more tokens */
  private checkRoom(op: string, count: number): void {
    const { contextLength } = this.model;
    if (this.seen + count <= contextLength) return;
    throw new ValueError(
      `${op}: the model takes texts of ${contextLength} tokens, and ${this.seen} + ${count} are more; use a shorter prompt or start a new session`,
    );
  }

  private assign(state: ModelState, logits: Tensor<"f32">): void {
    this.now.assign(new ModelState({ ...state.tensors, [LOGITS]: logits }));
  }

  private check(op: string): void {
    if (this.disposed) throw new DisposedError(`${op}: the session was disposed; start another`);
    if (this.busy)
      throw new ValueError(`${op}: the session is generating; await that, abort it, or branch() before it starts`);
  }
}
