import { checkpoint } from "../autograd/checkpoint.ts";
import { gradEnabled, noGrad } from "../autograd/mode.ts";
import type { Device } from "../gpu/device.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { Embedding } from "../nn/embedding.ts";
import { type InitOptions, randomOf } from "../nn/init.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { LayerNorm } from "../nn/norm.ts";
import { sinusoidalPositions } from "../nn/positions.ts";
import {
  type Attend,
  attendOneToCache,
  attendSeen,
  attendToCache,
  attendTurned,
  attendWithin,
  type Residual,
  TransformerBlock,
} from "../nn/transformer.ts";
import { cacheOf, cacheShape, checkLengths } from "../ops/attention/cache.ts";
import { rotaryTable } from "../ops/attention/rotary.ts";
import { add } from "../ops/binary.ts";
import { cast } from "../ops/cast.ts";
import { concat } from "../ops/concat.ts";
import { embedding } from "../ops/embedding.ts";
import { linear } from "../ops/linear.ts";
import { reshape } from "../ops/reshape.ts";
import { slice } from "../ops/slice.ts";
import { affine } from "../ops/unary.ts";
import { tensor } from "../tensor/create.ts";
import { keep, scope } from "../tensor/scope.ts";
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { share } from "../tensor/view.ts";
import type { Decoder, Forward, ForwardOptions, LanguageModel, ModelConfig } from "./language.ts";
import { ModelState, zeroState } from "./state.ts";
import { completeTransformer, type TransformerConfig } from "./transformerConfig.ts";

/** Where the state keeps how many tokens of each text went before, as numbers the device counts on. */
const POSITION = "position";
const cacheName = (layer: number) => `cache${layer}`;
/** Tokens that a sliding window can take in at once: the cache is so much longer, less one. */
const CHUNK = 64;
/** Counts of tokens are f32, exact up to here. */
const LONGEST_TEXT = 2 ** 24;

/** The blocks between embedding and head, under GPT-2's names. */
class Trunk extends Module {
  readonly tokens: Embedding;
  readonly learned: Embedding | null;
  readonly blocks: readonly TransformerBlock[];
  readonly norm: LayerNorm;

  constructor(
    device: Device,
    { vocabSize, channels, heads, numLayers, contextLength, dropout, positions }: TransformerConfig,
    init: InitOptions,
  ) {
    super();
    const random = randomOf(init);
    this.tokens = this.child("wte", new Embedding(device, vocabSize, channels, { random, std: 0.02 }));
    this.learned =
      positions === "learned"
        ? this.child("wpe", new Embedding(device, contextLength, channels, { random, std: 0.02 }))
        : null;
    const options = { channels, heads, layers: numLayers, dropout, random };
    this.blocks = Array.from({ length: numLayers }, (_, layer) =>
      this.child(`h.${layer}`, new TransformerBlock(device, options)),
    );
    this.norm = this.child("ln_f", new LayerNorm(device, channels));
  }
}

/**
 * A GPT-2-shaped language model: pre-norm blocks, a head that is tied to the embedding unless `tiedHead` is false. In training, attention never stores its
 * scores; in generation, keys and values of the last tokens lie in a cache. With rotary positions the cache is a ring and
 * every token sees the last `contextLength`, in training as in generation, so a text can go on at constant memory.
 * Radford et al. 2019; names as in nanoGPT (`transformer.wte`, `transformer.h.0.attn.c_attn`, ...).
 */
export class TransformerLanguageModel extends Module implements LanguageModel {
  readonly device: Device;
  readonly config: TransformerConfig;
  /**
   * Keep only what enters each block and compute the rest again in backward: the same gradients from less memory, for about
   * a third more work. Chen et al. 2016.
   */
  checkpointBlocks = false;
  private readonly trunk: Trunk;
  /** Null: the embedding serves. */
  private readonly head: Linear | null;
  /** Constants of the positions, not in the state dict: turns of rotary, rows of sinusoidal ones. */
  private readonly table: Tensor | null;

  constructor(device: Device, given: ModelConfig, init: InitOptions = {}) {
    super();
    const config = completeTransformer(given);
    const { channels, heads, contextLength, positions } = config;
    this.device = device;
    this.config = config;
    const random = randomOf(init);
    this.trunk = this.child("transformer", new Trunk(device, config, { random }));
    this.head = config.tiedHead
      ? null
      : this.child("lm_head", new Linear(device, channels, config.vocabSize, { random, std: 0.02, bias: false }));
    const table = {
      learned: () => null,
      rotary: () => keep(rotaryTable(device, channels / heads)),
      sinusoidal: () => keep(sinusoidalPositions(device, contextLength, channels)),
    }[positions];
    this.table = table();
  }

  get contextLength(): number {
    return this.config.positions === "rotary" ? LONGEST_TEXT : this.config.contextLength;
  }

  /**
   * @throws ValueError if the tokens are more than the model has positions, or follow a batch of unequal lengths
   */
  forward(tokens: Tensor, state?: ModelState, { lengths = null }: ForwardOptions = {}): Forward {
    const [batch = 0, length = 0] = tokens.shape;
    if (tokens.shape.length !== 2)
      throw new ShapeError(`transformer: tokens are ${show(tokens.shape)}; they must be [B, T] token ids`);
    const seen = state?.seen ?? 0;
    this.checkRoom(seen, length, lengths !== null);
    if (lengths) checkLengths("transformer", lengths, batch);
    if (!state) {
      const attend = () => this.turned(attendWithin(this.config.contextLength), 0);
      return { logits: this.blocks(this.embed(tokens, 0), attend), state: new ModelState({}, length) };
    }
    const caches = this.cachesOf(state, batch);
    const pieces: Tensor<"f32">[] = [];
    for (let done = 0; done < length || pieces.length === 0; ) {
      const at = seen + done;
      const count = Math.min(length - done, this.capacity - Math.min(at, this.config.contextLength - 1));
      const part = count === length ? tokens : slice(tokens, 1, done, done + count);
      const options = { ...this.window, lengths };
      const attend = (layer: number) => this.turned(attendToCache(nth(caches, layer), at, options), at);
      pieces.push(this.blocks(this.embed(part, at), attend));
      done += Math.max(count, 1);
    }
    const logits = pieces.length === 1 ? nth(pieces, 0) : concat(pieces, 1);
    return { logits, state: this.after(state, lengths ?? length) };
  }

  /**
   * What each token attends to, layer by layer: [B, H, T, T], query by key, over tokens [B, T] without a state.
   * Without gradient; for looking at.
   */
  attentionWeights(tokens: Tensor): Tensor<"f32">[] {
    const seen: Tensor<"f32">[] = [];
    const attend = this.turned(
      attendSeen(this.config.contextLength, (weights) => seen.push(weights)),
      0,
    );
    noGrad(() => this.blocks(this.embed(tokens, 0), () => attend));
    return seen;
  }

  initialState(batch: number): ModelState {
    const { numLayers } = this.config;
    const caches = Array.from({ length: numLayers }, (_, layer) => [
      cacheName(layer),
      cacheShape(this.cacheSizes(batch), this.config.halfCache),
    ]);
    return zeroState(this.device, { ...Object.fromEntries(caches), [POSITION]: [batch] });
  }

  decoder(): Decoder {
    return {
      step: (tokens, state) => scope(() => noGrad(() => this.step(tokens, state))),
      dispose: () => {},
    };
  }

  override dispose(): void {
    super.dispose();
    this.table?.dispose();
  }

  private step(tokens: Tensor, state: ModelState): Forward {
    const [batch = 0] = tokens.shape;
    // Texts of unequal lengths are the caller's to count.
    if (!Number.isNaN(state.seen)) this.checkRoom(state.seen, 1, false);
    const caches = this.cachesOf(state, batch);
    const position = state.tensors[POSITION] as Tensor<"f32">;
    const attend = (layer: number) =>
      this.turned(attendOneToCache(nth(caches, layer), position, this.window), position);
    return { logits: this.blocks(this.embed(tokens, position), attend), state: this.after(state, 1) };
  }

  /** Rows of the tokens and, unless positions come in with attention, of their places after `seen` others. */
  private embed(tokens: Tensor, seen: Tensor | number): Tensor<"f32"> {
    const rows = this.trunk.tokens.forward(tokens);
    const table = this.trunk.learned?.weight ?? (this.config.positions === "sinusoidal" ? this.table : null);
    if (!table) return rows;
    const length = tokens.shape.at(-1) as number;
    // The whole table is added as it is, and its gradient needs no scattering.
    if (seen === 0 && length === table.shape[0]) return add(rows, table);
    const places =
      typeof seen === "number"
        ? tensor(
            this.device,
            Uint32Array.from({ length }, (_, t) => seen + t),
          )
        : cast(seen, "u32");
    return add(rows, embedding(table, places));
  }

  private turned(attend: Attend, position: Tensor | number): Attend {
    return this.config.positions === "rotary" ? attendTurned(attend, this.table as Tensor, position) : attend;
  }

  private blocks(x: Tensor<"f32">, attend: (layer: number) => Attend): Tensor<"f32"> {
    const { blocks, norm, tokens } = this.trunk;
    const saving = this.checkpointBlocks && gradEnabled();
    const { stream, update } = blocks.reduce<Residual>(
      (residual, block, layer) => {
        const run = (residual: Residual) => block.continue(residual, attend(layer));
        return saving ? checkpointed(run, residual) : run(residual);
      },
      { stream: x, update: null },
    );
    return linear(norm.add(stream, update).y, this.head?.weight ?? tokens.weight);
  }

  /** The caches were written in place; positions are counted on the device. */
  private after({ tensors, seen }: ModelState, added: Tensor | number): ModelState {
    const caches = this.trunk.blocks.map((_, layer) => [
      cacheName(layer),
      share(tensors[cacheName(layer)] as Tensor<"f32">),
    ]);
    const before = tensors[POSITION] as Tensor<"f32">;
    const position = typeof added === "number" ? affine(before, 1, added) : add(before, cast(added, "f32"));
    const now = typeof added === "number" ? seen + added : Number.NaN;
    return new ModelState({ ...Object.fromEntries(caches), [POSITION]: reshape(position, before.shape) }, now);
  }

  private checkRoom(seen: number, added: number, unequal: boolean): void {
    if (Number.isNaN(seen) || (unequal && seen > 0)) {
      throw new ValueError(
        "transformer: texts of unequal lengths are read from their start, in one call; go on with the decoder, a token at a time",
      );
    }
    if (seen + added > this.contextLength) {
      throw new ValueError(
        `transformer: ${seen} + ${added} tokens are more than its ${this.contextLength} positions; use a shorter sequence or a model of a longer context`,
      );
    }
  }

  private cachesOf({ tensors }: ModelState, batch: number) {
    const sizes = this.cacheSizes(batch);
    const { halfCache } = this.config;
    const wanted = cacheShape(sizes, halfCache);
    return this.trunk.blocks.map((_, layer) => {
      const slots = tensors[cacheName(layer)];
      if (slots && sameShape(slots.shape, wanted)) return cacheOf(slots, sizes, halfCache);
      throw new ShapeError(
        `transformer: the state's ${cacheName(layer)} is ${slots ? show(slots.shape) : "missing"} instead of ${show(wanted)}; start from initialState(${batch})`,
      );
    });
  }

  private cacheSizes(batch: number) {
    const { channels, heads } = this.config;
    return { batch, keyHeads: heads, size: channels / heads, capacity: this.capacity };
  }

  /** Slots of a cache: with a sliding window, room for a chunk whose first token still sees a whole window. */
  private get capacity(): number {
    const { contextLength, positions } = this.config;
    return positions === "rotary" ? contextLength + CHUNK - 1 : contextLength;
  }

  private get window(): { readonly window?: number } {
    return this.config.positions === "rotary" ? { window: this.config.contextLength } : {};
  }
}

function nth<T>(list: readonly T[], i: number): T {
  return list[i] as T;
}

/** A block that keeps only what enters it. */
function checkpointed(run: (residual: Residual) => Residual, { stream, update }: Residual): Residual {
  const both = ({ stream, update }: Residual) => [stream, update as Tensor];
  const [next, added] = update
    ? checkpoint((stream: Tensor, update: Tensor) => both(run({ stream, update })), stream, update)
    : checkpoint((stream: Tensor) => both(run({ stream, update: null })), stream);
  return { stream: next as Tensor, update: added as Tensor };
}
