import type { Device } from "../../gpu/device.ts";
import { add, mul } from "../../ops/binary.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { randomOf } from "../init.ts";
import { Linear } from "../linear.ts";
import { Module } from "../module.ts";
import { RMSNorm } from "../norm.ts";
import { MultiScaleRetention, type RetentionOptions, type RetentionPlace, type RetentionTables } from "./retention.ts";

/** Sizes of a `RetNetBlock`. */
export interface RetNetBlockOptions extends RetentionOptions {
  /** Inner width of the feed-forward half, F. */
  readonly hiddenSize: number;
}

/** (gelu(x fc1^T) * (x gate^T)) fc2^T: `fc1`, `gate`, `fc2`. */
class GatedFeedForward extends Module {
  private readonly widen: Linear;
  private readonly gate: Linear;
  private readonly narrow: Linear;

  constructor(device: Device, { channels, hiddenSize, ...init }: RetNetBlockOptions) {
    super();
    const options = { bias: false, random: randomOf(init) };
    this.widen = this.child("fc1", new Linear(device, channels, hiddenSize, options));
    this.gate = this.child("gate", new Linear(device, channels, hiddenSize, options));
    this.narrow = this.child("fc2", new Linear(device, hiddenSize, channels, options));
  }

  forward(x: Tensor): Tensor<"f32"> {
    return this.narrow.forward(mul(this.widen.forward(x, { activation: "gelu" }), this.gate.forward(x)));
  }
}

/**
 * A RetNet block: x = x + retention(RMS(x)), x = x + ffn(RMS(x)). Names: `retention_layer_norm`, `retention`,
 * `final_layer_norm`, `ffn`. Sun et al. 2023, https://arxiv.org/abs/2307.08621, equation 9.
 */
export class RetNetBlock extends Module {
  private readonly norm1: RMSNorm;
  private readonly retention: MultiScaleRetention;
  private readonly norm2: RMSNorm;
  private readonly feedForward: GatedFeedForward;

  constructor(device: Device, given: RetNetBlockOptions) {
    super();
    const { eps = 1e-6 } = given;
    const options = { ...given, random: randomOf(given) };
    this.norm1 = this.child("retention_layer_norm", new RMSNorm(device, given.channels, { eps }));
    this.retention = this.child("retention", new MultiScaleRetention(device, options));
    this.norm2 = this.child("final_layer_norm", new RMSNorm(device, given.channels, { eps }));
    this.feedForward = this.child("ffn", new GatedFeedForward(device, options));
  }

  /** [B, T, C] -> [B, T, C], and the state after the last token. */
  forward(x: Tensor, tables: RetentionTables, place: RetentionPlace) {
    const { y, state } = this.retention.forward(this.norm1.forward(x), tables, place);
    const mixed = add(x, y);
    return { x: add(mixed, this.feedForward.forward(this.norm2.forward(mixed))), state };
  }
}
