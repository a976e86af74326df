import type { Device } from "../../gpu/device.ts";
import { ValueError } from "../../gpu/errors.ts";
import { rotary } from "../../ops/attention/rotary.ts";
import { mul } from "../../ops/binary.ts";
import { rmsNorm } from "../../ops/norm.ts";
import { reshape } from "../../ops/reshape.ts";
import { retentionNormalised } from "../../ops/retention/normalised.ts";
import { retention, retentionDecays, retentionTurns } from "../../ops/retention/retention.ts";
import { affine } from "../../ops/unary.ts";
import { keep } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type InitOptions, randomOf } from "../init.ts";
import { Linear } from "../linear.ts";
import { Module } from "../module.ts";

/** Sizes of a `MultiScaleRetention`. */
export interface RetentionOptions extends InitOptions {
  /** Width of the residual stream, C. */
  readonly channels: number;
  /** Width of the values and the gate. */
  readonly valueChannels: number;
  readonly heads: number;
  /** Added to the mean square of a head's output; default 1e-6. */
  readonly eps?: number;
  /**
   * Scale the scores before they meet the values, as torchscale trains its models, where there is no state: see
   * `retentionNormalised`. Stretches that go on from a state are as if this were off, and differ by the effect of eps.
   */
  readonly normaliseScores?: boolean;
}

/** What heads forget and how their queries and keys turn: the same in all layers of a model, not in its state dict. */
export class RetentionTables {
  /** [H] */
  readonly decays: Tensor<"f32">;
  /** [K / 2] */
  readonly turns: Tensor<"u32">;

  /** @throws ValueError if the heads do not divide the channels into pairs */
  constructor(device: Device, channels: number, heads: number) {
    const size = channels / heads;
    if (!Number.isInteger(size) || size % 2 !== 0) {
      throw new ValueError(
        `retnet: ${channels} channels in ${heads} heads make heads of ${size}; choose heads that divide the channels into an even size`,
      );
    }
    this.decays = keep(retentionDecays(device, heads));
    this.turns = keep(retentionTurns(device, size));
  }

  dispose(): void {
    this.decays.dispose();
    this.turns.dispose();
  }
}

/** Where a stretch of tokens stands. */
export interface RetentionPlace {
  /** Tokens before the first one: a number, or [B] on the device. */
  readonly position: Tensor | number;
  /** [B, H, K, V] after these. */
  readonly state?: Tensor | null;
}

/** Gain of the initial projections into heads, and of the one out of them. */
const GAIN = { into: 2 ** -2.5, out: 2 ** -1 } as const;

/**
 * Multi-scale retention: every head forgets at its own pace, is normalised, and passes a gate silu(g). Names: `q_proj`,
 * `k_proj`, `v_proj`, `g_proj`, `out_proj`. Sun et al. 2023, https://arxiv.org/abs/2307.08621, equation 8.
 */
export class MultiScaleRetention extends Module {
  private readonly heads: number;
  private readonly eps: number;
  private readonly normaliseScores: boolean;
  private readonly query: Linear;
  private readonly key: Linear;
  private readonly value: Linear;
  private readonly gate: Linear;
  private readonly output: Linear;

  constructor(device: Device, options: RetentionOptions) {
    super();
    const { channels: C, valueChannels, heads, eps = 1e-6, normaliseScores = false, ...init } = options;
    if (valueChannels % heads !== 0) {
      throw new ValueError(
        `retnet: ${heads} heads do not divide ${valueChannels} channels of the values; make these a multiple of the heads`,
      );
    }
    const random = randomOf(init);
    // Xavier's bound sqrt(6 / (in + out)) by that of a linear layer, 1 / sqrt(in).
    const xavier = (inSize: number, outSize: number, gain: number) => ({
      ...{ bias: false, random },
      gain: gain * Math.sqrt((6 * inSize) / (inSize + outSize)),
    });
    const project = (name: string, outSize: number) =>
      this.child(name, new Linear(device, C, outSize, xavier(C, outSize, GAIN.into)));
    this.heads = heads;
    this.eps = eps;
    this.normaliseScores = normaliseScores;
    this.query = project("q_proj", C);
    this.key = project("k_proj", C);
    this.value = project("v_proj", valueChannels);
    this.gate = project("g_proj", valueChannels);
    const out = xavier(valueChannels, C, GAIN.out);
    this.output = this.child("out_proj", new Linear(device, valueChannels, C, out));
  }

  /** [B, T, C] -> [B, T, C], and the state after the last token. */
  forward(x: Tensor, { decays, turns }: RetentionTables, { position, state = null }: RetentionPlace) {
    const [batch = 0, steps = 0] = x.shape;
    const intoHeads = (y: Tensor) => reshape(y, [batch, steps, this.heads, (y.shape[2] as number) / this.heads]);
    const q = rotary(intoHeads(this.query.forward(x)), turns, { position });
    const k = rotary(intoHeads(this.key.forward(x)), turns, { position });
    const v = intoHeads(this.value.forward(x));
    const scaled = affine(k, (k.shape[3] as number) ** -0.5);
    const { y, state: after } = retention(q, scaled, v, decays, state);
    const shown = this.normaliseScores && !state ? retentionNormalised(q, scaled, v) : y;
    const flat = reshape(rmsNorm(shown, null, this.eps), [batch, steps, this.heads * (y.shape[3] as number)]);
    const gated = mul(this.gate.forward(x, { activation: "silu" }), flat);
    return { y: this.output.forward(gated), state: after };
  }
}
