import type { Device } from "../../gpu/device.ts";
import { gated } from "../../ops/wkv/gate.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module, type Parameter } from "../module.ts";
import { fall, valuesOf } from "./init.ts";
import { shiftWithin } from "./padding.ts";
import { Projection } from "./projection.ts";
import type { ChannelMixOptions, ChannelMixResult, MixContext, RwkvVersion, ShiftState } from "./types.ts";

/** Names of the mixes, and how they begin: by channel d from 0 to 1. */
const styles = {
  "4": { names: ["time_mix_k", "time_mix_r"], kept: true },
  "5.1": { names: ["time_mix_k", "time_mix_r"], kept: true },
  "5.2": { names: ["time_mix_k", "time_mix_r"], kept: true },
  "6": { names: ["time_maa_k", "time_maa_r"], kept: false },
  "7": { names: ["x_k"], kept: false },
} as const;

/**
 * RWKV's feed-forward half: relu(k)^2 between two matrices, and before version 7 a gate of its own, all on inputs that are
 * mixed with the token before. Published names: `key`, `value`, `receptance`, `time_mix_k` (or `time_maa_k`, `x_k`).
 */
export class ChannelMix extends Module {
  private readonly key: Projection;
  private readonly value: Projection;
  private readonly receptance: Projection | null;
  private readonly mixes: readonly Parameter[];
  private readonly kept: boolean;

  constructor(device: Device, version: RwkvVersion, { channels, hidden, random, ...depth }: ChannelMixOptions) {
    super();
    const { names, kept } = styles[version];
    const power = { "4": 1, "5.1": 1, "5.2": 1, "6": 3, "7": 4 }[version];
    const start = (c: number) => (c / channels) ** (fall(depth) ** power);
    this.kept = kept;
    this.mixes = names.map((name) =>
      this.parameter(
        name,
        valuesOf(device, [1, 1, channels], (c) => (kept ? start(c) : 1 - start(c))),
      ),
    );
    this.key = this.child(
      "key",
      new Projection(device, channels, hidden, Math.sqrt(Math.max(1, hidden / channels)), random),
    );
    this.receptance =
      version === "7" ? null : this.child("receptance", new Projection(device, channels, channels, 0, random));
    this.value = this.child("value", new Projection(device, hidden, channels, 0, random));
  }

  /** [B, T, C] after the block's second norm. */
  forward(x: Tensor, { state, padding = null }: MixContext<ShiftState> = {}): ChannelMixResult {
    const { mixed, last } = shiftWithin(x, state?.shift ?? null, this.mixes, { kept: this.kept }, padding);
    const [xk, xr] = mixed as [Tensor, Tensor?];
    const y = this.value.forward(this.key.forward(xk, { activation: "reluSquared" }));
    const open = this.receptance && xr ? gated(y, this.receptance.forward(xr), "sigmoid") : y;
    return { y: open, state: { shift: last } };
  }
}
