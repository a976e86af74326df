import type { Device } from "../gpu/device.ts";
import { ValueError } from "../gpu/errors.ts";
import type { KeyValueCache } from "../ops/attention/cache.ts";
import { type DecodeOptions, decodePacked, type PrefillOptions, prefillPacked } from "../ops/attention/decode.ts";
import { attentionWeights } from "../ops/attention/naive.ts";
import { attentionPacked } from "../ops/attention/packed.ts";
import { rotaryPacked } from "../ops/attention/rotary.ts";
import { add } from "../ops/binary.ts";
import { reshape } from "../ops/reshape.ts";
import { split } from "../ops/slice.ts";
import { permute } from "../ops/transpose.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Dropout } from "./dropout.ts";
import { type InitOptions, randomOf } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import { LayerNorm } from "./norm.ts";

export interface BlockOptions extends InitOptions {
  /** Width, C. */
  readonly channels: number;
  readonly heads: number;
  /** Blocks of the model; the projections back into the residual stream start smaller by sqrt(2 layers). */
  readonly layers: number;
  /** While training. */
  readonly dropout?: number;
}

/** How a block attends: over the tokens of a batch alone, or to a cache of those before. */
export type Attend = (qkv: Tensor, heads: number) => Tensor<"f32">;

/** A residual stream with an addition that is still to be made. */
export interface Residual {
  readonly stream: Tensor;
  readonly update: Tensor | null;
}

const INIT_STD = 0.02;

/** Self-attention with one projection to q, k and v, named as in GPT-2: `c_attn`, `c_proj`. */
class SelfAttention extends Module {
  readonly heads: number;
  readonly project: Linear;
  readonly out: Linear;

  constructor(device: Device, { channels, heads, layers, ...options }: BlockOptions) {
    super();
    if (!(Number.isInteger(heads) && heads > 0 && channels % heads === 0)) {
      throw new ValueError(
        `SelfAttention: ${channels} channels do not divide into ${heads} heads; make them a multiple of the heads`,
      );
    }
    const random = randomOf(options);
    this.heads = heads;
    this.project = this.child("c_attn", new Linear(device, channels, 3 * channels, { random, std: INIT_STD }));
    const std = INIT_STD / Math.sqrt(2 * layers);
    this.out = this.child("c_proj", new Linear(device, channels, channels, { random, std }));
  }

  forward(x: Tensor, attend: Attend): Tensor<"f32"> {
    return this.out.forward(attend(this.project.forward(x), this.heads));
  }
}

/** Two layers with GELU between them, four times as wide inside: `c_fc`, `c_proj`. */
class FeedForward extends Module {
  readonly widen: Linear;
  readonly narrow: Linear;

  constructor(device: Device, { channels, layers, ...options }: BlockOptions) {
    super();
    const random = randomOf(options);
    this.widen = this.child("c_fc", new Linear(device, channels, 4 * channels, { random, std: INIT_STD }));
    const std = INIT_STD / Math.sqrt(2 * layers);
    this.narrow = this.child("c_proj", new Linear(device, 4 * channels, channels, { random, std }));
  }

  forward(x: Tensor): Tensor<"f32"> {
    return this.narrow.forward(this.widen.forward(x, { activation: "geluTanh" }));
  }
}

/**
 * A GPT-2 block: x = x + attn(LN(x)), x = x + mlp(LN(x)), with the names `ln_1`, `attn`, `ln_2`, `mlp`.
 * Radford et al. 2019, Language Models are Unsupervised Multitask Learners.
 */
export class TransformerBlock extends Module {
  readonly norm1: LayerNorm;
  readonly attention: SelfAttention;
  readonly norm2: LayerNorm;
  readonly feedForward: FeedForward;
  private readonly dropout: Dropout;

  constructor(device: Device, options: BlockOptions) {
    super();
    this.norm1 = this.child("ln_1", new LayerNorm(device, options.channels));
    this.attention = this.child("attn", new SelfAttention(device, options));
    this.norm2 = this.child("ln_2", new LayerNorm(device, options.channels));
    this.feedForward = this.child("mlp", new FeedForward(device, options));
    this.dropout = this.child("dropout", new Dropout(options.dropout ?? 0));
  }

  /** [B, T, C] -> [B, T, C]; [B, C] with an `attend` for one token. */
  forward(x: Tensor, attend: Attend = attendCausally): Tensor<"f32"> {
    const { stream, update } = this.continue({ stream: x, update: null }, attend);
    return add(stream, update as Tensor);
  }

  /** `forward` with the last addition left to whoever normalises next, in one launch with that. */
  continue({ stream, update }: Residual, attend: Attend): Residual {
    const before = this.norm1.add(stream, update);
    const attended = this.dropout.forward(this.attention.forward(before.y, attend));
    const between = this.norm2.add(before.stream, attended);
    return { stream: between.stream, update: this.dropout.forward(this.feedForward.forward(between.y)) };
  }
}

/** Attends causally to the batch alone, each token to itself and at most `window - 1` before it. */
export function attendWithin(window: number): Attend {
  return (qkv, heads) => attentionPacked(qkv, heads, { causal: true, window });
}

/** As `attendWithin`, and hands out the weights of each head, [B, H, T, T], query by key. */
export function attendSeen(window: number, see: (weights: Tensor<"f32">) => void): Attend {
  return (qkv, heads) => {
    const [batch = 0, length = 0, width = 0] = qkv.shape;
    const parts = split(reshape(qkv, [batch, length, 3, heads, width / (3 * heads)]), [1, 1, 1], 2);
    const [q, k] = parts.map((part) => permute(reshape(part, [batch, length, heads, -1]), [0, 2, 1, 3]));
    see(attentionWeights(q as Tensor, k as Tensor, { causal: true, window }));
    return attendWithin(window)(qkv, heads);
  };
}

const attendCausally: Attend = (qkv, heads) => attentionPacked(qkv, heads, { causal: true });

/** Attends to a cache that already holds `seen` tokens, a number of the host, and appends a chunk to it. */
export function attendToCache(cache: KeyValueCache, seen: number, options: PrefillOptions = {}): Attend {
  return (qkv, heads) => prefillPacked(qkv, heads, cache, seen, options);
}

/** Attends to a cache with one more token; `position`, the tokens before it, is data. */
export function attendOneToCache(cache: KeyValueCache, position: Tensor, options: DecodeOptions = {}): Attend {
  return (qkv, heads) => decodePacked(qkv, heads, cache, position, options);
}

/** Turns queries and keys by their positions before they are attended to and cached. */
export function attendTurned(attend: Attend, table: Tensor, position: Tensor | number): Attend {
  return (qkv, heads) => attend(rotaryPacked(qkv, heads, table, { position }), heads);
}
