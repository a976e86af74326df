import type { Device } from "../gpu/device.ts";
import { add } from "../ops/binary.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Dropout } from "./dropout.ts";
import { type InitOptions, randomOf } from "./init.ts";
import { Linear } from "./linear.ts";
import { Module } from "./module.ts";
import { type AttendOptions, MultiheadAttention } from "./multiheadAttention.ts";
import { LayerNorm } from "./norm.ts";

/** Sizes and variants of a Transformer layer, as in PyTorch. */
export interface TransformerLayerOptions extends InitOptions {
  /** Width, E. */
  readonly dModel: number;
  readonly nhead: number;
  /** Inner width of the feed-forward part; default 2048. */
  readonly dimFeedforward?: number;
  /** Of what is added to the residual stream and inside the feed-forward part, while training; default 0.1. */
  readonly dropout?: number;
  /** Default `relu`; `gelu` is the exact form. */
  readonly activation?: "relu" | "gelu" | "geluTanh" | "silu";
  /** Default 1e-5. */
  readonly layerNormEps?: number;
  /** Normalise what a part reads instead of what it leaves (Xiong et al. 2020); default false, as in the paper. */
  readonly normFirst?: boolean;
}

/** A residual stream through parts that each read it and add to it, normalised before or after each. */
abstract class TransformerLayer extends Module {
  protected readonly attention: MultiheadAttention;
  private readonly linear1: Linear;
  private readonly linear2: Linear;
  private readonly dropout: Dropout;
  private readonly normFirst: boolean;
  private readonly activation: NonNullable<TransformerLayerOptions["activation"]>;

  constructor(device: Device, options: TransformerLayerOptions) {
    super();
    const { dModel, nhead, dimFeedforward = 2048, dropout = 0.1, activation = "relu", normFirst = false } = options;
    const random = randomOf(options);
    this.attention = this.child(
      "self_attn",
      new MultiheadAttention(device, { embedDim: dModel, numHeads: nhead, random }),
    );
    this.linear1 = this.child("linear1", new Linear(device, dModel, dimFeedforward, { random }));
    this.linear2 = this.child("linear2", new Linear(device, dimFeedforward, dModel, { random }));
    this.dropout = this.child("dropout", new Dropout(dropout));
    this.activation = activation;
    this.normFirst = normFirst;
  }

  protected run(
    x: Tensor,
    parts: readonly ((x: Tensor) => Tensor<"f32">)[],
    norms: readonly LayerNorm[],
  ): Tensor<"f32"> {
    let stream = x;
    let update: Tensor | null = null;
    parts.forEach((part, i) => {
      const norm = norms[i] as LayerNorm;
      if (this.normFirst) {
        const before = norm.add(stream, update);
        stream = before.stream;
        update = this.dropout.forward(part(before.y));
      } else {
        stream = norm.add(stream, this.dropout.forward(part(stream))).y;
      }
    });
    return update ? add(stream, update) : (stream as Tensor<"f32">);
  }

  protected feedForward(x: Tensor): Tensor<"f32"> {
    return this.linear2.forward(this.dropout.forward(this.linear1.forward(x, { activation: this.activation })));
  }

  protected norm(name: string, device: Device, { dModel, layerNormEps = 1e-5 }: TransformerLayerOptions): LayerNorm {
    return this.child(name, new LayerNorm(device, dModel, { eps: layerNormEps }));
  }
}

/**
 * Self-attention and a feed-forward part, as torch.nn.TransformerEncoderLayer with batch_first, with its names (`self_attn`,
 * `linear1`, `linear2`, `norm1`, `norm2`). The weights of the attention are not dropped out.
 * Vaswani et al. 2017, Attention Is All You Need, section 3.1.
 */
export class TransformerEncoderLayer extends TransformerLayer {
  private readonly norms: readonly LayerNorm[];

  constructor(device: Device, options: TransformerLayerOptions) {
    super(device, options);
    this.norms = ["norm1", "norm2"].map((name) => this.norm(name, device, options));
  }

  /** [B, T, E] -> [B, T, E] */
  forward(src: Tensor, options: AttendOptions = {}): Tensor<"f32"> {
    const attend = (x: Tensor) => this.attention.forward(x, x, x, options);
    return this.run(src, [attend, (x) => this.feedForward(x)], this.norms);
  }
}

/** What a `TransformerDecoderLayer` sees. */
export interface DecoderLayerOptions {
  /** What a target position sees of the target; default causal. */
  readonly target?: AttendOptions;
  /** What it sees of the memory; default all. */
  readonly memory?: AttendOptions;
}

/**
 * Self-attention, attention to an encoder's result and a feed-forward part, as torch.nn.TransformerDecoderLayer with
 * batch_first, with its names (`self_attn`, `multihead_attn`, `linear1`, `linear2`, `norm1`, `norm2`, `norm3`).
 */
export class TransformerDecoderLayer extends TransformerLayer {
  private readonly cross: MultiheadAttention;
  private readonly norms: readonly LayerNorm[];

  constructor(device: Device, options: TransformerLayerOptions) {
    const random = randomOf(options);
    super(device, { ...options, random });
    const { dModel, nhead } = options;
    this.cross = this.child(
      "multihead_attn",
      new MultiheadAttention(device, { embedDim: dModel, numHeads: nhead, random }),
    );
    this.norms = ["norm1", "norm2", "norm3"].map((name) => this.norm(name, device, options));
  }

  /**
   * @param tgt [B, Tt, E]
   * @param memory [B, Tm, E]
   * @returns [B, Tt, E]
   */
  forward(tgt: Tensor, memory: Tensor, options: DecoderLayerOptions = {}): Tensor<"f32"> {
    const { target = { causal: true }, memory: seen = {} } = options;
    const attend = (x: Tensor) => this.attention.forward(x, x, x, target);
    const read = (x: Tensor) => this.cross.forward(x, memory, memory, seen);
    return this.run(tgt, [attend, read, (x) => this.feedForward(x)], this.norms);
  }
}
