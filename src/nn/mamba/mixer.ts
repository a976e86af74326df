import type { Device } from "../../gpu/device.ts";
import { linear } from "../../ops/linear.ts";
import { causalConv1d } from "../../ops/scan/conv.ts";
import { selectiveScanPacked } from "../../ops/scan/scan.ts";
import { chunk, split } from "../../ops/slice.ts";
import { tensor } from "../../tensor/create.ts";
import type { Random } from "../../tensor/philox.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { constantInit, type InitOptions, randomOf, uniformInit } from "../init.ts";
import { Linear } from "../linear.ts";
import { Module, type Parameter } from "../module.ts";

/** Sizes of a `MambaMixer`. */
export interface MambaMixerOptions extends InitOptions {
  /** Width of the residual stream, C. */
  readonly channels: number;
  /** Width inside, E. */
  readonly innerSize: number;
  /** Numbers that each inner channel keeps, N. */
  readonly stateSize: number;
  /** Steps that the convolution sees, K. */
  readonly convWidth: number;
  /** Inner size of the projection to the paces, R. */
  readonly rank: number;
  /** Layers of the model: the projection back starts smaller by their square root. */
  readonly layers: number;
}

/** What a `MambaMixer` remembers of the steps before. */
export interface MambaState {
  /** [B, K - 1, E]; what the convolution still sees of the steps before. */
  readonly conv: Tensor<"f32">;
  /** [B, E, N] */
  readonly scan: Tensor<"f32">;
}

/** A weight and a bias that the mixer hands to operations other than a plain linear layer. */
class Affine extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;

  /** @param product only matrix products read the weight */
  constructor(weight: Parameter, bias: Parameter, product = false) {
    super();
    this.weight = product ? this.matrix("weight", weight) : this.parameter("weight", weight);
    this.bias = this.parameter("bias", bias);
  }
}

/** The inverse of softplus at paces spread evenly in logarithm from 0.001 to 0.1. */
function startingPaces(device: Device, channels: number, random: Random): Parameter {
  const [low, high] = [Math.log(1e-3), Math.log(1e-1)];
  return tensor(
    device,
    Float32Array.from({ length: channels }, () => {
      const pace = Math.max(Math.exp(low + random.uniform() * (high - low)), 1e-4);
      return pace + Math.log(-Math.expm1(-pace));
    }),
  );
}

/**
 * Mamba's only layer: a gated branch through a short convolution and a selective scan, whose paces, inputs and outputs
 * each token chooses. Names: `in_proj`, `conv1d`, `x_proj`, `dt_proj`, `A_log`, `D`, `out_proj`.
 * Gu and Dao 2023, https://arxiv.org/abs/2312.00752, section 3.4.
 */
export class MambaMixer extends Module {
  private readonly rank: number;
  private readonly input: Linear;
  private readonly conv: Affine;
  private readonly select: Linear;
  private readonly pace: Affine;
  private readonly logA: Parameter;
  private readonly skip: Parameter;
  private readonly output: Linear;

  constructor(device: Device, options: MambaMixerOptions) {
    super();
    const { channels, innerSize: E, stateSize: N, convWidth: K, rank, layers } = options;
    const random = randomOf(options);
    const plain = { bias: false, random };
    const bound = 1 / Math.sqrt(K);
    this.rank = rank;
    this.input = this.child("in_proj", new Linear(device, channels, 2 * E, plain));
    this.conv = this.child(
      "conv1d",
      new Affine(uniformInit(device, [E, 1, K], bound, random), uniformInit(device, [E], bound, random)),
    );
    this.select = this.child("x_proj", new Linear(device, E, rank + 2 * N, plain));
    this.pace = this.child(
      "dt_proj",
      new Affine(uniformInit(device, [E, rank], rank ** -0.5, random), startingPaces(device, E, random), true),
    );
    const logs = Float32Array.from({ length: E * N }, (_, i) => Math.log(1 + (i % N)));
    this.logA = this.parameter("A_log", tensor(device, logs, [E, N]));
    this.skip = this.parameter("D", constantInit(device, [E], 1));
    this.output = this.child("out_proj", new Linear(device, E, channels, { ...plain, gain: 1 / Math.sqrt(layers) }));
  }

  /** [B, T, C] -> [B, T, C], and the state after the last step. */
  forward(x: Tensor, state?: MambaState): { readonly y: Tensor<"f32">; readonly state: MambaState } {
    const [into, z] = chunk(this.input.forward(x), 2) as [Tensor<"f32">, Tensor<"f32">];
    const conv = causalConv1d(into, this.conv.weight, {
      bias: this.conv.bias,
      state: state?.conv ?? null,
      activation: "silu",
    });
    const selected = this.select.forward(conv.y);
    const both = (selected.shape.at(-1) as number) - this.rank;
    const [low, bc] = split(selected, [this.rank, both]) as [Tensor<"f32">, Tensor<"f32">];
    const scan = selectiveScanPacked(conv.y, linear(low, this.pace.weight), this.logA, bc, {
      ...{ D: this.skip, z, deltaBias: this.pace.bias, deltaSoftplus: true, logA: true },
      state: state?.scan ?? null,
    });
    return { y: this.output.forward(scan.y), state: { conv: conv.state, scan: scan.state } };
  }
}
