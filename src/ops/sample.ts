import sampleKernel from "../../kernels/sample/sample.wgsl";
import seeKernel from "../../kernels/sample/see.wgsl";
import shortlistKernel from "../../kernels/sample/shortlist.wgsl";
import type { Device } from "../gpu/device.ts";
import { NonFiniteError, ShapeError, ValueError } from "../gpu/errors.ts";
import { empty, tensor, zeros } from "../tensor/create.ts";
import { splitWord } from "../tensor/philox.ts";
import { keep } from "../tensor/scope.ts";
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type SamplingOptions, type SamplingSettings, samplingSettings, settingWords } from "./sampleOptions.ts";

export type { SamplingOptions, SamplingSettings } from "./sampleOptions.ts";

/** What the kernel writes in place of a token when the logits have a NaN, or none above -infinity. */
export const NO_TOKEN = 0xffffffff;

/** Tokens that a row's list can hold: ROOM of the kernels. */
const LIST_ROOM = 512;
/** Passes through smaller vocabularies take less time than the launch that makes lists. */
const LARGE_VOCABULARY = 2048;

/** Sizes of a `Sampler`, and how it draws at first. */
export interface SamplerOptions extends SamplingOptions {
  /** Rows of logits; default 1. */
  readonly batch?: number;
  /** Columns of logits. */
  readonly vocabSize: number;
  /** Steps that the history holds until they are read; default 64. */
  readonly history?: number;
}

/** Where a sampler stands; plain JSON. */
export interface SamplerState {
  readonly settings: SamplingSettings;
  readonly seed: number;
  /** Tokens drawn since the seed was set. */
  readonly position: number;
  /** Of each row, tokens that occurred and how often. */
  readonly seen: readonly (readonly (readonly [id: number, count: number])[])[];
}

/**
 * Draws tokens from logits on the GPU: settings, random state, counts of the tokens seen and the last tokens
 * live on the device, so `record` belongs into a captured decoding step, and `set` takes effect on its next replay.
 */
export class Sampler {
  readonly device: Device;
  readonly batch: number;
  readonly vocabSize: number;
  /** The token drawn last in each row, [batch]. */
  readonly token: Tensor<"u32">;
  /** Tokens by position modulo its length, [history, batch]. */
  readonly history: Tensor<"u32">;
  /** Seed low, seed high, position low, position high of each row, [batch, 4]. */
  readonly words: Tensor<"u32">;
  /** How often each token occurred, [batch, vocabSize]. */
  readonly seen: Tensor<"u32">;
  private readonly numbers: Tensor<"f32">;
  /** Of each row, how many tokens can be among its best and which: [batch, 1 + room]. Null for small vocabularies. */
  private readonly list: Tensor<"u32"> | null;
  private settings: SamplingSettings;
  private seed: number;
  /** Position up to which `take` gave tokens out. */
  private taken = 0;

  constructor(device: Device, { batch = 1, vocabSize, history = 64, ...options }: SamplerOptions) {
    for (const [name, value] of Object.entries({ batch, vocabSize, history })) {
      if (!(Number.isInteger(value) && value > 0))
        throw new ValueError(`sample: ${name} is ${value}; it must be a whole number above 0`);
    }
    this.settings = samplingSettings(options);
    this.seed = options.seed ?? 0;
    const words = repeat([...splitWord(this.seed), 0, 0], batch);
    this.device = device;
    this.batch = batch;
    this.vocabSize = vocabSize;
    this.token = keep(zeros(device, [batch], "u32"));
    this.history = keep(zeros(device, [history, batch], "u32"));
    this.words = keep(tensor(device, words, [batch, 4], "u32"));
    this.seen = keep(zeros(device, [batch, vocabSize], "u32"));
    this.numbers = keep(tensor(device, settingWords(this.settings), [1, 8]));
    const large = vocabSize >= LARGE_VOCABULARY;
    this.list = large ? keep(zeros(device, [batch, 1 + LIST_ROOM], "u32")) : null;
  }

  /**
   * Sets how the following tokens are drawn; options left out take their defaults, and a seed starts the random numbers anew.
   * @throws ValueError naming the option that is out of range; nothing changes then
   */
  set(options: SamplingOptions): void {
    const settings = samplingSettings(options);
    const seed = options.seed === undefined ? null : splitWord(options.seed);
    this.settings = settings;
    this.numbers.write(settingWords(settings));
    if (!seed) return;
    this.seed = options.seed as number;
    this.taken = 0;
    this.words.write(repeat([...seed, 0, 0], this.batch));
  }

  /**
   * Draws the next token of each row; one launch, two for large vocabularies.
   * @param logits [batch, vocabSize]
   * @param uniforms numbers in [0, 1), [batch], in place of the random ones
   * @returns `token`, which the next step can read
   */
  record(logits: Tensor, uniforms?: Tensor): Tensor<"u32"> {
    this.check(logits);
    if (uniforms && uniforms.size !== this.batch) {
      throw new ShapeError(
        `sample: uniforms are ${show(uniforms.shape)}; they must be [${this.batch}], one for each row`,
      );
    }
    const { numbers: settings, seen, words: state, token, history } = this;
    const list = this.shorten(logits);
    const buffers = { logits, settings, uniforms: uniforms ?? settings, seen, state, token, history, list };
    this.device.dispatch(sampleKernel, "forward", buffers, this.params, [this.batch], {
      ...this.knobs,
      GIVEN: uniforms !== undefined,
    });
    return token;
  }

  /** The probabilities, [batch, vocabSize], that `record` would draw from; changes nothing. */
  probabilities(logits: Tensor): Tensor<"f32"> {
    this.check(logits);
    const probabilities = empty(this.device, logits.shape);
    const list = this.shorten(logits);
    const buffers = { logits, settings: this.numbers, seen: this.seen, probabilities, list };
    this.device.dispatch(sampleKernel, "distribution", buffers, this.params, [this.batch], this.knobs);
    return probabilities;
  }

  /** Counts tokens that were not drawn here, such as a prompt: ids [batch, T], on the host or the device. */
  see(ids: Tensor | ArrayLike<number>): void {
    const tokens = "storage" in ids ? ids : tensor(this.device, Uint32Array.from(ids));
    if (tokens.size % this.batch !== 0) {
      throw new ShapeError(
        `sample: ${tokens.size} ids do not divide into ${this.batch} rows; give as many for each row`,
      );
    }
    const params = { ids: tokens.size, length: tokens.size / this.batch, vocabulary: this.vocabSize };
    this.device.dispatch(seeKernel, "forward", { tokens, seen: this.seen }, params, [Math.ceil(tokens.size / 64)]);
    if (tokens !== ids) tokens.dispose();
  }

  /**
   * Reads the tokens of each row drawn since the last `take`, in one transfer.
   * @throws NonFiniteError naming the step whose logits had a NaN or nothing above -infinity
   * @throws ValueError if more were drawn than the history holds
   */
  async take(): Promise<number[][]> {
    const length = this.history.shape[0] as number;
    const [history, position] = await Promise.all([this.history.data(), this.position()]);
    const first = this.taken;
    this.taken = position;
    if (position - first > length) {
      throw new ValueError(
        `sample: ${position - first} tokens were drawn since the last take and the history holds ${length}; take more often or make it longer`,
      );
    }
    const steps = Array.from({ length: position - first }, (_, i) => first + i);
    return Array.from({ length: this.batch }, (_, row) =>
      steps.map((step) => {
        const id = history[(step % length) * this.batch + row] as number;
        if (id === NO_TOKEN) {
          throw new NonFiniteError(
            `sample: the logits of step ${step}, row ${row} have a NaN or nothing above -infinity; the model's parameters or state are not finite`,
          );
        }
        return id;
      }),
    );
  }

  /** Forgets all tokens and starts the random numbers anew. */
  reset(): void {
    this.restore({ settings: this.settings, seed: this.seed, position: 0, seen: [] });
  }

  async state(): Promise<SamplerState> {
    const { settings, seed } = this;
    const [counts, position] = await Promise.all([this.seen.data(), this.position()]);
    const seen = Array.from({ length: this.batch }, (_, row) =>
      [...counts.subarray(row * this.vocabSize, (row + 1) * this.vocabSize)]
        .map((count, id) => [id, count] as const)
        .filter(([, count]) => count > 0),
    );
    return { settings, seed, position, seen };
  }

  /**
   * Continues where `state` was taken, on any device and with any batch that has its rows.
   * @throws ValueError if it does not fit; nothing changes then
   */
  restore(state: SamplerState): void {
    const settings = samplingSettings(state.settings);
    const words = [...splitWord(state.seed), ...splitWord(state.position, "position")];
    const counts = new Uint32Array(this.batch * this.vocabSize);
    state.seen.forEach((row, b) => {
      for (const [id, count] of row) {
        if (!(b < this.batch && Number.isInteger(id) && id >= 0 && id < this.vocabSize)) {
          throw new ValueError(
            `sample: the state has token ${id} in row ${b}; this sampler has ${this.batch} rows of ${this.vocabSize} tokens`,
          );
        }
        counts[b * this.vocabSize + id] = count;
      }
    });
    this.settings = settings;
    this.seed = state.seed;
    this.taken = state.position;
    this.numbers.write(settingWords(settings));
    this.words.write(repeat(words, this.batch));
    this.seen.write(counts);
  }

  /** Takes over where another sampler of the same sizes stands, without a read-back. */
  restoreFrom(other: Sampler): void {
    if (!sameShape(other.seen.shape, this.seen.shape) || !sameShape(other.history.shape, this.history.shape)) {
      throw new ShapeError(
        `sample: a sampler of ${show(other.seen.shape)} cannot be copied into one of ${show(this.seen.shape)}; make it with the same sizes`,
      );
    }
    this.settings = other.settings;
    this.seed = other.seed;
    this.taken = other.taken;
    for (const name of ["token", "history", "words", "seen", "numbers"] as const) {
      this.device.copy(other[name].storage, this[name].storage, this[name].bytes);
    }
  }

  dispose(): void {
    for (const owned of [this.token, this.history, this.words, this.seen, this.numbers, this.list]) owned?.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  private get params() {
    return { rows: this.batch, vocabulary: this.vocabSize, settings: 1, capacity: this.history.shape[0] as number };
  }

  private get knobs() {
    return { LANES: this.lanes, LISTED: this.list !== null };
  }

  private get lanes() {
    return this.device.software ? 8 : 256;
  }

  /** Lists the tokens of each row that a small top-k can reach; what stands for the lists where there are none. */
  private shorten(logits: Tensor): Tensor {
    const { list, device, numbers: settings, seen, batch } = this;
    if (!list) return settings;
    const buffers = { logits, settings, seen, list };
    device.dispatch(shortlistKernel, "forward", buffers, this.params, [batch], { LANES: this.lanes });
    return list;
  }

  private async position(): Promise<number> {
    const [, , low = 0, high = 0] = await this.words.data();
    return high * 2 ** 32 + low;
  }

  private check(logits: Tensor): void {
    logits.check("sample");
    if (logits.dtype !== "f32" || !sameShape(logits.shape, [this.batch, this.vocabSize])) {
      throw new ShapeError(
        `sample: logits are ${logits.dtype} ${show(logits.shape)}; they must be f32 [${this.batch}, ${this.vocabSize}]`,
      );
    }
  }
}

function repeat(values: readonly number[], times: number): number[] {
  return Array.from({ length: times }, () => values).flat();
}
