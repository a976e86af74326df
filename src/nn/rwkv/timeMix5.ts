import type { Device } from "../../gpu/device.ts";
import { expand } from "../../ops/expand.ts";
import { reshape } from "../../ops/reshape.ts";
import { exp } from "../../ops/unary.ts";
import { gated } from "../../ops/wkv/gate.ts";
import { wkv5, wkv6 } from "../../ops/wkv/wkv6.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module, type Parameter } from "../module.ts";
import { HeadNorm, headSize, intoHeads } from "./heads.ts";
import { fall, rise, valuesOf } from "./init.ts";
import { shiftWithin, silenced, stillDecay } from "./padding.ts";
import { Projection } from "./projection.ts";
import type { MixContext, TimeMixOptions, TimeMixResult } from "./types.ts";

/** Decay of channel n of C and bonus of the present token at the start of training, in versions 5 and 6. */
export const startingDecay = (n: number, C: number, late: number): number =>
  -6 + 5 * (n / Math.max(C - 1, 1)) ** (0.7 + 1.3 * late);
export const startingBonus = (n: number, C: number, late: number): number =>
  late * (1 - n / Math.max(C - 1, 1)) + 0.1 * (((n + 1) % 3) - 1);

/**
 * RWKV-5's attention half: matrix states a head with fixed decays, normalised, gated by silu(g) but for the earliest
 * models (5.1), which have one decay and one bonus, e^time_first, a head. Published names: `time_decay`, `time_faaaa` (or
 * `time_first`), `time_mix_k`, ..., `ln_x`, `gate`. Peng et al. 2024, https://arxiv.org/abs/2404.05892.
 */
export class TimeMix5 extends Module {
  private readonly heads: number;
  private readonly size: number;
  private readonly decay: Parameter;
  private readonly bonus: Parameter;
  private readonly mixes: readonly Parameter[];
  private readonly receptance: Projection;
  private readonly key: Projection;
  private readonly value: Projection;
  private readonly output: Projection;
  private readonly gate: Projection | null;
  private readonly norm: HeadNorm;

  /** @param early whether this is 5.1 */
  constructor(device: Device, early: boolean, { channels: C, heads, headEps, random, ...depth }: TimeMixOptions) {
    super();
    const late = rise(depth);
    const fading = fall(depth);
    const d = (c: number) => c / C;
    this.heads = heads;
    this.size = headSize(C, heads);
    const shape = early ? [heads] : [heads, this.size];
    const all = early ? heads : C;
    this.decay = this.parameter(
      "time_decay",
      valuesOf(device, shape, (n) => startingDecay(n, all, late)),
    );
    this.bonus = early
      ? this.parameter(
          "time_first",
          valuesOf(device, shape, () => Math.log(0.3)),
        )
      : this.parameter(
          "time_faaaa",
          valuesOf(device, shape, (n) => startingBonus(n, C, late)),
        );
    const starts = {
      time_mix_k: (c: number) => d(c) ** fading,
      time_mix_v: (c: number) => d(c) ** fading + 0.3 * late,
      time_mix_r: (c: number) => d(c) ** (0.5 * fading),
      ...(early ? {} : { time_mix_g: (c: number) => d(c) ** (0.5 * fading) }),
    };
    this.mixes = Object.entries(starts).map(([name, start]) =>
      this.parameter(name, valuesOf(device, [1, 1, C], start)),
    );
    const project = (name: string, gain: number) => this.child(name, new Projection(device, C, C, gain, random));
    this.receptance = project("receptance", 1);
    this.key = project("key", 1);
    this.value = project("value", 1);
    this.output = project("output", 0);
    this.gate = early ? null : project("gate", 1);
    this.norm = this.child("ln_x", new HeadNorm(device, C, ((1 + depth.layer) / depth.layers) ** 0.7, headEps));
  }

  /** [B, T, C] after the block's first norm. */
  forward(x: Tensor, { state, padding = null }: MixContext = {}): TimeMixResult {
    const { mixed, last } = shiftWithin(x, state?.shift ?? null, this.mixes, { kept: true }, padding);
    const [xk, xv, xr, xg] = mixed as [Tensor, Tensor, Tensor, Tensor?];
    const r = intoHeads(this.receptance.forward(xr), this.heads);
    const k = intoHeads(this.key.forward(xk), this.heads);
    const v = intoHeads(this.value.forward(xv), this.heads);
    const [w, u] = this.gate ? [this.decay, this.bonus] : [this.spread(this.decay), this.spread(exp(this.bonus))];
    // At padding nothing fades: there a decay is a step's own, as in version 6.
    const { y, state: wkv } = padding
      ? wkv6(r, silenced(k, padding), v, stillDecay(expand(w, r.shape), padding), u, state?.wkv)
      : wkv5(r, k, v, w, u, state?.wkv);
    const normal = this.norm.forward(y);
    const open = this.gate && xg ? gated(normal, this.gate.forward(xg), "silu") : normal;
    return { y: this.output.forward(open), state: { shift: last, wkv } };
  }

  /** A value a head, for each of its channels. */
  private spread(x: Tensor): Tensor {
    return expand(reshape(x, [this.heads, 1]), [this.heads, this.size]);
  }
}
