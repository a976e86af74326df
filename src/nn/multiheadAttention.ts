import type { Device } from "../gpu/device.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { attention } from "../ops/attention/attention.ts";
import { attentionPacked } from "../ops/attention/packed.ts";
import type { AttentionOptions } from "../ops/attention/plan.ts";
import { fullOf } from "../ops/half.ts";
import { linear } from "../ops/linear.ts";
import { reshape } from "../ops/reshape.ts";
import { split } from "../ops/slice.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { constantInit, type InitOptions, randomOf, uniformInit } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module, type Parameter } from "./module.ts";

/** Sizes of a `MultiheadAttention`. */
export interface MultiheadAttentionOptions extends InitOptions {
  /** Width of queries, keys, values and the result, E. */
  readonly embedDim: number;
  readonly numHeads: number;
  /** Default true. */
  readonly bias?: boolean;
}

/** What a query sees: `lengths` or `keyMask` leave padding out. */
export type AttendOptions = Pick<AttentionOptions, "causal" | "window" | "lengths" | "keyMask" | "slopes">;

/**
 * Attention in several heads, as torch.nn.MultiheadAttention with batch_first, with its names (`in_proj_weight`, `in_proj_bias`,
 * `out_proj`). The weights of the average are never stored, so they are neither returned nor dropped out.
 * Vaswani et al. 2017, Attention Is All You Need, section 3.2.2.
 */
export class MultiheadAttention extends Module {
  /** [3 E, E]; the rows for queries, then keys, then values. */
  readonly inWeight: Parameter;
  readonly inBias: Parameter | null;
  readonly out: Linear;
  private readonly embedDim: number;
  private readonly numHeads: number;

  /** @throws ValueError if E does not divide into the heads */
  constructor(device: Device, { embedDim, numHeads, bias = true, ...init }: MultiheadAttentionOptions) {
    super();
    if (!(Number.isInteger(numHeads) && numHeads > 0 && embedDim % numHeads === 0)) {
      throw new ValueError(
        `MultiheadAttention: embedDim ${embedDim} does not divide into ${numHeads} heads; make it a multiple of numHeads`,
      );
    }
    this.embedDim = embedDim;
    this.numHeads = numHeads;
    const random = randomOf(init);
    // Glorot and Bengio 2010, of the three matrices as one.
    const bound = Math.sqrt(6 / (4 * embedDim));
    this.inWeight = this.matrix("in_proj_weight", uniformInit(device, [3 * embedDim, embedDim], bound, random));
    this.inBias = bias ? this.parameter("in_proj_bias", constantInit(device, [3 * embedDim], 0)) : null;
    this.out = this.child("out_proj", new Linear(device, embedDim, embedDim, { bias, random }));
    this.out.bias?.write(new Float32Array(embedDim));
  }

  /**
   * @param query [B, Tq, E]
   * @param key [B, Tk, E]; default the query: self-attention, in one projection
   * @param value as the key; default the key
   * @returns [B, Tq, E]
   */
  forward(query: Tensor, key: Tensor = query, value: Tensor = key, options: AttendOptions = {}): Tensor<"f32"> {
    for (const [name, x] of Object.entries({ query, key, value })) {
      if (x.shape.length !== 3 || x.shape[2] !== this.embedDim)
        throw new ShapeError(`MultiheadAttention: ${name} is ${show(x.shape)} and must be [B, T, ${this.embedDim}]`);
    }
    if (query === key && key === value) {
      const qkv = linear(query, this.inWeight, this.inBias);
      return this.out.forward(attentionPacked(qkv, this.numHeads, options));
    }
    const E = this.embedDim;
    const weights = split(fullOf(this.inWeight), [E, E, E], 0);
    const biases = this.inBias ? split(this.inBias, [E, E, E], 0) : [];
    const [q, k, v] = [query, key, value].map((x, i) => {
      const [batch = 0, rows = 0] = x.shape;
      const heads = [batch, rows, this.numHeads, E / this.numHeads];
      return reshape(linear(x, weights[i] as Tensor, biases[i] ?? null), heads);
    }) as [Tensor, Tensor, Tensor];
    return this.out.forward(reshape(attention(q, k, v, { ...options, layout: "BTHD" }), query.shape));
  }
}
