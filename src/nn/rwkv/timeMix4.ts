import type { Device } from "../../gpu/device.ts";
import { gated } from "../../ops/wkv/gate.ts";
import { wkv4 } from "../../ops/wkv/wkv4.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module, type Parameter } from "../module.ts";
import { fall, rise, valuesOf } from "./init.ts";
import { shiftWithin } from "./padding.ts";
import { Projection } from "./projection.ts";
import type { MixContext, TimeMixOptions, TimeMixResult } from "./types.ts";

/**
 * RWKV-4's attention half: sigmoid(r) wkv(k, v), each of r, k and v from an input mixed with the token before.
 * Published names: `time_decay`, `time_first`, `time_mix_k`, ..., `key`, `value`, `receptance`, `output`.
 * Peng et al. 2023, https://arxiv.org/abs/2305.13048.
 */
export class TimeMix4 extends Module {
  private readonly decay: Parameter;
  private readonly first: Parameter;
  private readonly mixes: readonly Parameter[];
  private readonly key: Projection;
  private readonly value: Projection;
  private readonly receptance: Projection;
  private readonly output: Projection;

  constructor(device: Device, { channels: C, random, ...depth }: TimeMixOptions) {
    super();
    const d = (c: number) => c / C;
    const late = rise(depth);
    const early = fall(depth);
    this.decay = this.parameter(
      "time_decay",
      valuesOf(device, [C], (c) => -5 + 8 * (c / Math.max(C - 1, 1)) ** (0.7 + 1.3 * late)),
    );
    this.first = this.parameter(
      "time_first",
      valuesOf(device, [C], (c) => Math.log(0.3) + 0.5 * (((c + 1) % 3) - 1)),
    );
    const starts = {
      time_mix_k: (c: number) => d(c) ** early,
      time_mix_v: (c: number) => d(c) ** early + 0.3 * late,
      time_mix_r: (c: number) => d(c) ** (0.5 * early),
    };
    this.mixes = Object.entries(starts).map(([name, start]) =>
      this.parameter(name, valuesOf(device, [1, 1, C], start)),
    );
    this.key = this.child("key", new Projection(device, C, C, 0, random));
    this.value = this.child("value", new Projection(device, C, C, 1, random));
    this.receptance = this.child("receptance", new Projection(device, C, C, 0, random));
    this.output = this.child("output", new Projection(device, C, C, 0, random));
  }

  /** [B, T, C] after the block's first norm. */
  forward(x: Tensor, { state, padding = null }: MixContext = {}): TimeMixResult {
    const { mixed, last } = shiftWithin(x, state?.shift ?? null, this.mixes, { kept: true }, padding);
    const [xk, xv, xr] = mixed as [Tensor, Tensor, Tensor];
    const k = this.key.forward(xk);
    const v = this.value.forward(xv);
    const { y, state: wkv } = wkv4(this.decay, this.first, k, v, state?.wkv, { lengths: padding?.lengths ?? null });
    const open = gated(y, this.receptance.forward(xr), "sigmoid");
    return { y: this.output.forward(open), state: { shift: last, wkv } };
  }
}
