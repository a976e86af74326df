import type { Device } from "../../gpu/device.ts";
import { deltaFinish, deltaKeys, valueResidual } from "../../ops/wkv/delta.ts";
import { mapRows } from "../../ops/wkv/lowRank.ts";
import { wkv7 } from "../../ops/wkv/wkv7.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { constantInit, zeroInit } from "../init.ts";
import { Module, type Parameter } from "../module.ts";
import { HeadNorm, headSize, intoHeads } from "./heads.ts";
import { fall, orthogonal, rise, valuesOf } from "./init.ts";
import { shiftWithin, silenced, stillDecay } from "./padding.ts";
import { Projection } from "./projection.ts";
import type { MixContext, TimeMixOptions, TimeMixResult } from "./types.ts";

/** In the order in which they are mixed. */
const MIXED = ["r", "w", "k", "v", "a", "g"] as const;

/**
 * RWKV-7's attention half: a state that each token partly rewrites (the delta rule), with decays, learning rates, value
 * residual and gate from low-rank maps of the input. Published names: `x_r`, ..., `w0`, `w1`, `w2`, `a0`, ..., `k_k`,
 * `k_a`, `r_k`, `ln_x`; the first layer has no `v0`, `v1`, `v2`. Peng et al. 2025, https://arxiv.org/abs/2503.14456.
 */
export class TimeMix7 extends Module {
  private readonly heads: number;
  private readonly mixes: readonly Parameter[];
  private readonly decay: LowRank;
  private readonly rate: LowRank;
  private readonly residual: LowRank | null;
  private readonly gateIn: Parameter;
  private readonly gateOut: Parameter;
  private readonly keyScale: Parameter;
  private readonly keyRate: Parameter;
  private readonly bonus: Parameter;
  private readonly receptance: Projection;
  private readonly key: Projection;
  private readonly value: Projection;
  private readonly output: Projection;
  private readonly norm: HeadNorm;

  constructor(device: Device, { channels: C, heads, ranks, headEps, random, ...depth }: TimeMixOptions) {
    super();
    const size = headSize(C, heads);
    this.heads = heads;
    const d = (c: number) => c / C;
    const line = (c: number) => c / Math.max(C - 1, 1) - 0.5;
    const zigzag = (c: number) => {
      const z = size > 1 ? ((c % size) - (size - 1) / 2) / ((size - 1) / 2) : 0;
      return z * Math.abs(z);
    };
    const powers = { r: 0.2, w: 0.9, k: 0.7, v: 0.7, a: 0.9, g: 0.2 };
    this.mixes = MIXED.map((name) =>
      this.parameter(
        `x_${name}`,
        valuesOf(device, [1, 1, C], (c) => 1 - d(c) ** (powers[name] * fall(depth))),
      ),
    );
    const map = (name: string, rank: number, start: (c: number) => number): LowRank => ({
      offset: this.parameter(`${name}0`, valuesOf(device, [1, 1, C], start)),
      inner: this.matrix(`${name}1`, zeroInit(device, [C, rank], random)),
      outer: this.matrix(`${name}2`, orthogonal(device, [rank, C], 0.1 * Math.max(1, Math.sqrt(rank / C)), random)),
    });
    const { decay = rankOf(C, 2.5), rate = rankOf(C, 2.5), value = rankOf(C, 1.7), gate = rankOf(C, 5) } = ranks;
    const late = rise(depth);
    this.decay = map("w", decay, (c) => -5.5 + 6 * (line(c) + 0.5) ** (1 + late ** 0.3) + 2.5 * zigzag(c));
    this.rate = map("a", rate, (c) => -0.19 + 0.3 * zigzag(c) + 0.4 * line(c));
    this.residual = depth.layer === 0 ? null : map("v", value, (c) => 0.73 - 0.4 * line(c));
    this.gateIn = this.matrix("g1", zeroInit(device, [C, gate], random));
    this.gateOut = this.matrix("g2", orthogonal(device, [gate, C], 0.1 * Math.max(1, Math.sqrt(gate / C)), random));
    this.keyScale = this.parameter(
      "k_k",
      valuesOf(device, [1, 1, C], (c) => 0.71 - 0.1 * line(c)),
    );
    this.keyRate = this.parameter("k_a", constantInit(device, [1, 1, C], 1.02));
    this.bonus = this.parameter("r_k", constantInit(device, [heads, size], -0.04));
    const project = (name: string, gain: number) => this.child(name, new Projection(device, C, C, gain, random));
    this.receptance = project("receptance", 1);
    this.key = project("key", 0.1);
    this.value = project("value", 1);
    this.output = project("output", 0);
    this.norm = this.child("ln_x", new HeadNorm(device, C, ((1 + depth.layer) / depth.layers) ** 0.7, headEps));
  }

  /** [B, T, C] after the block's first norm. */
  forward(x: Tensor, { state, padding = null, firstValue }: MixContext = {}): TimeMixResult {
    const { heads } = this;
    const { mixed, last } = shiftWithin(x, state?.shift ?? null, this.mixes, {}, padding);
    const [xr, xw, xk, xv, xa, xg] = mixed as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
    const r = this.receptance.forward(xr);
    const own = this.value.forward(xv);
    const v =
      this.residual && firstValue
        ? valueResidual(own, firstValue, through(xv, this.residual), this.residual.offset)
        : own;
    const { w, k, a, b } = deltaKeys(
      this.key.forward(xk),
      through(xw, this.decay, true),
      through(xa, this.rate),
      heads,
      { w0: this.decay.offset, a0: this.rate.offset, keyScale: this.keyScale, keyRate: this.keyRate },
    );
    const steps = padding
      ? [r, stillDecay(w, padding), silenced(k, padding), v, silenced(a, padding), silenced(b, padding)]
      : [r, w, k, v, a, b];
    const [rh, wh, kh, vh, ah, bh] = steps.map((one) => intoHeads(one, heads)) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const { y, state: wkv } = wkv7(rh, wh, kh, vh, ah, bh, state?.wkv);
    const gate = mapRows(mapRows(xg, this.gateIn, { activation: "sigmoid" }), this.gateOut);
    const whole = deltaFinish(this.norm.forward(y), r, k, v, gate, heads, this.bonus);
    return { y: this.output.forward(whole), state: { shift: last, wkv }, firstValue: firstValue ?? v };
  }
}

interface LowRank {
  readonly offset: Parameter;
  /** [C, rank] */
  readonly inner: Parameter;
  /** [rank, C] */
  readonly outer: Parameter;
}

/** x inner outer, with tanh in between or not. */
function through(x: Tensor, { inner, outer }: LowRank, bent = false): Tensor<"f32"> {
  return mapRows(mapRows(x, inner, { activation: bent ? "tanh" : null }), outer);
}

/** The published inner size of a low-rank map: about factor sqrt(C), in steps of 32. */
function rankOf(channels: number, factor: number): number {
  return Math.max(32, 32 * Math.round((factor * Math.sqrt(channels)) / 32));
}
