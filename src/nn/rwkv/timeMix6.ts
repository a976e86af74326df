import type { Device } from "../../gpu/device.ts";
import { matmul } from "../../ops/matmul.ts";
import { reshape } from "../../ops/reshape.ts";
import { permute } from "../../ops/transpose.ts";
import { gated } from "../../ops/wkv/gate.ts";
import { mapRows } from "../../ops/wkv/lowRank.ts";
import { tokenShift6 } from "../../ops/wkv/mix6.ts";
import { wkv6 } from "../../ops/wkv/wkv6.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { uniformInit, zeroInit } from "../init.ts";
import { Module, type Parameter } from "../module.ts";
import { HeadNorm, headSize, intoHeads } from "./heads.ts";
import { fall, rise, valuesOf } from "./init.ts";
import { shiftWithin, silenced, stillDecay } from "./padding.ts";
import { Projection } from "./projection.ts";
import { startingBonus, startingDecay } from "./timeMix5.ts";
import type { MixContext, TimeMixOptions, TimeMixResult } from "./types.ts";

/** In the order in which `time_maa_w1` and `time_maa_w2` hold them. */
const MIXED = ["w", "k", "v", "r", "g"] as const;

/**
 * RWKV-6's attention half: as version 5, but how much of the token before is mixed in, and the decays, depend on the
 * input through low-rank maps. Published names: `time_maa_x`, `time_maa_w1`, `time_decay_w1`, `time_faaaa`, `ln_x`, ...
 * Peng et al. 2024, https://arxiv.org/abs/2404.05892.
 */
export class TimeMix6 extends Module {
  private readonly heads: number;
  private readonly mixRank: number;
  private readonly mixX: Parameter;
  private readonly mixes: readonly [Parameter, Parameter, Parameter, Parameter, Parameter];
  private readonly mixIn: Parameter;
  private readonly mixOut: Parameter;
  private readonly decay: Parameter;
  private readonly decayIn: Parameter;
  private readonly decayOut: Parameter;
  private readonly bonus: Parameter;
  private readonly receptance: Projection;
  private readonly key: Projection;
  private readonly value: Projection;
  private readonly output: Projection;
  private readonly gate: Projection;
  private readonly norm: HeadNorm;

  constructor(device: Device, { channels: C, heads, ranks, headEps, random, ...depth }: TimeMixOptions) {
    super();
    const { mix = 32, decay = 64 } = ranks;
    const late = rise(depth);
    const fading = fall(depth);
    const d = (c: number) => c / C;
    const size = headSize(C, heads);
    this.heads = heads;
    this.mixRank = mix;
    const plain = (c: number) => 1 - d(c) ** fading;
    const root = (c: number) => 1 - d(c) ** (0.5 * fading);
    const starts = { w: plain, k: plain, v: (c: number) => plain(c) - 0.3 * late, r: root, g: root };
    this.mixX = this.parameter("time_maa_x", valuesOf(device, [1, 1, C], plain));
    const mixes = MIXED.map((name) => this.parameter(`time_maa_${name}`, valuesOf(device, [1, 1, C], starts[name])));
    this.mixes = mixes as [Parameter, Parameter, Parameter, Parameter, Parameter];
    this.mixIn = this.matrix("time_maa_w1", zeroInit(device, [C, MIXED.length * mix], random));
    this.mixOut = this.matrix("time_maa_w2", uniformInit(device, [MIXED.length, mix, C], 0.01, random));
    this.decay = this.parameter(
      "time_decay",
      valuesOf(device, [1, 1, C], (n) => startingDecay(n, C, late)),
    );
    this.decayIn = this.matrix("time_decay_w1", zeroInit(device, [C, decay], random));
    this.decayOut = this.matrix("time_decay_w2", uniformInit(device, [decay, C], 0.01, random));
    this.bonus = this.parameter(
      "time_faaaa",
      valuesOf(device, [heads, size], (n) => startingBonus(n, C, late)),
    );
    const project = (name: string, gain: number) => this.child(name, new Projection(device, C, C, gain, random));
    this.receptance = project("receptance", 1);
    this.key = project("key", 0.1);
    this.value = project("value", 1);
    this.output = project("output", 0);
    this.gate = project("gate", 0.1);
    this.norm = this.child("ln_x", new HeadNorm(device, C, ((1 + depth.layer) / depth.layers) ** 0.7, headEps));
  }

  /** [B, T, C] after the block's first norm. */
  forward(x: Tensor, { state, padding = null }: MixContext = {}): TimeMixResult {
    const { heads } = this;
    const before = state?.shift ?? null;
    const { mixed, last } = shiftWithin(x, before, [this.mixX], {}, padding);
    const [xw, xk, xv, xr, xg] = tokenShift6(x, before, this.shares(mixed[0] as Tensor), this.mixes);
    const low = mapRows(xw, this.decayIn, { activation: "tanh" });
    const own = mapRows(low, this.decayOut, { offset: this.decay });
    const r = intoHeads(this.receptance.forward(xr), heads);
    const added = this.key.forward(xk);
    const [w, k] = (padding ? [stillDecay(own, padding), silenced(added, padding)] : [own, added]).map((one) =>
      intoHeads(one, heads),
    ) as [Tensor, Tensor];
    const v = intoHeads(this.value.forward(xv), heads);
    const { y, state: wkv } = wkv6(r, k, v, w, this.bonus, state?.wkv);
    const open = gated(this.norm.forward(y), this.gate.forward(xg), "silu");
    return { y: this.output.forward(open), state: { shift: last, wkv } };
  }

  /** How much more of the token before each of the five inputs gets, by a low-rank map: [5, B T, C]. */
  private shares(x: Tensor): Tensor {
    const [batch = 0, steps = 0] = x.shape;
    const low = mapRows(x, this.mixIn, { activation: "tanh" });
    const inner = reshape(low, [batch * steps, MIXED.length, this.mixRank]);
    return matmul(permute(inner, [1, 0, 2]), this.mixOut);
  }
}
