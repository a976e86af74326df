import finishKernel from "../../../kernels/wkv/finish7.wgsl";
import keysKernel from "../../../kernels/wkv/keys7.wgsl";
import residualKernel from "../../../kernels/wkv/residual7.wgsl";
import { record } from "../../autograd/graph.ts";
import type { Device } from "../../gpu/device.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";
import { launchRows } from "../rows.ts";
import { sumPlanes } from "./planes.ts";

/** Parameters of C values each, of any shape. */
export interface DeltaParameters {
  readonly w0: Tensor;
  readonly a0: Tensor;
  readonly keyScale: Tensor;
  readonly keyRate: Tensor;
}

/** What RWKV-7's recurrence takes besides receptance and value; all [B, T, C]. */
export interface DeltaKeys {
  readonly w: Tensor<"f32">;
  readonly k: Tensor<"f32">;
  readonly a: Tensor<"f32">;
  readonly b: Tensor<"f32">;
}

const LANES = 64;

/**
 * Decays, keys and the two vectors of RWKV-7's delta rule in one launch: w = -softplus(-(w0 + decay)) - 1/2,
 * rate = sigmoid(a0 + rates), a = -(k keyScale) made of length 1 a head, b = -a rate, k (1 + (rate - 1) keyRate).
 * Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456, section 4.
 * @param k projected keys [B, T, C]; decay and rates, from their low-rank maps, alike
 * @throws ShapeError naming the tensor that does not fit
 */
export function deltaKeys(
  k: Tensor,
  decay: Tensor,
  rates: Tensor,
  heads: number,
  { w0, a0, keyScale, keyRate }: DeltaParameters,
): DeltaKeys {
  const { rows, channels } = check("deltaKeys", { k, decay, rates }, { w0, a0, keyScale, keyRate }, heads);
  const { device, shape } = k;
  const planes = { w: k.size, k: k.size, a: k.size, b: k.size, z: k.size, rate: k.size };
  const layout = layOut({ ...planes, weights: 2 * channels });
  const { groups, knobs, params } = launchHeads(device, rows, heads, channels, layout.at.k);
  const made = makeRegion(device, layout);
  const operands = { k, wide: decay, rates, w0, a0, k_k: keyScale, k_a: keyRate };
  device.dispatch(keysKernel, "forward", { ...operands, made }, params, groups, knobs);
  const part = (name: "w" | "k" | "a" | "b") => windowOf(made, layout.at[name], shape);
  const out = { w: part("w"), k: part("k"), a: part("a"), b: part("b") };

  const inputs = [k, decay, rates, w0, a0, keyScale, keyRate];
  const shapes = inputs.map((input) => input.shape);
  record<readonly Tensor[]>("deltaKeys", [out.w, out.k, out.a, out.b], inputs, [k, made], (given, sink, saved) => {
    const [k, kept] = saved as [Tensor, Tensor];
    const [dw, dkey, da, db] = [0, 1, 2, 3].map((n) => given[n] ?? zeros(device, shape)) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor,
    ];
    const n = k.size;
    const { at, size } = layOut({ k: n, wide: n, rates: n, scale: n, rate: n });
    const grads = makeRegion(device, { at, size });
    device.dispatch(
      keysKernel,
      "backward",
      { k, kept, dw, dkey, da, db, grads },
      { ...params, plane: at.wide / knobs.WIDTH },
      groups,
      knobs,
    );
    const starts = [at.wide, at.rates, at.scale, at.rate];
    const sums = starts.map((start, i) => ({ input: 3 + i, shape: shapes[3 + i] as readonly number[], start }));
    const own = [at.k, at.wide, at.rates].map((start, i) => (sink.needs(i) ? windowOf(grads, start, shape) : null));
    return [...own, ...sumPlanes(grads, sums, rows, channels, sink)];
  });
  made.dispose();
  return out;
}

/**
 * What follows RWKV-7's recurrence, in one launch: (y + s v) gate, where s = sum of r k bonus over a head.
 * @param y normalised, [B, T, C]; r, k, v and gate alike
 * @param bonus C values, a row a head
 * @throws ShapeError naming the tensor that does not fit
 */
export function deltaFinish(
  y: Tensor,
  r: Tensor,
  k: Tensor,
  v: Tensor,
  gate: Tensor,
  heads: number,
  bonus: Tensor,
): Tensor<"f32"> {
  const { rows, channels } = check("deltaFinish", { y, r, k, v, gate }, { bonus }, heads);
  const { device, shape } = y;
  const n = y.size;
  const layout = layOut({ y: n, r: n, k: n, v: n, gate: n, bonus: n });
  const { groups, knobs, params } = launchHeads(device, rows, heads, channels, layout.at.r);
  const out = empty(device, shape);
  device.dispatch(finishKernel, "forward", { y, r, key: k, v, gate, bonus, out }, params, groups, knobs);
  const inputs = [y, r, k, v, gate, bonus];
  const bonusShape = bonus.shape;
  record("deltaFinish", [out], inputs, inputs, ([dout], sink, saved) => {
    if (!dout) return [];
    const [y, r, key, v, gate, bonus] = saved as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
    const { at } = layout;
    const grads = makeRegion(device, layout);
    device.dispatch(finishKernel, "backward", { y, r, key, v, gate, bonus, dout, grads }, params, groups, knobs);
    const starts = [at.y, at.r, at.k, at.v, at.gate];
    const own = starts.map((start, i) => (sink.needs(i) ? windowOf(grads, start, shape) : null));
    const sum = { input: starts.length, shape: bonusShape, start: at.bonus };
    return [...own, ...sumPlanes(grads, [sum], rows, channels, sink)];
  });
  return out;
}

/**
 * RWKV-7's value residual in one launch: own + (first - own) sigmoid(v0 + mix).
 * @param own values of this layer [B, T, C]; those of the first layer, and mix, from its low-rank map, alike
 * @param v0 C values
 * @throws ShapeError naming the tensor that does not fit
 */
export function valueResidual(own: Tensor, first: Tensor, mix: Tensor, v0: Tensor): Tensor<"f32"> {
  const { rows, channels } = check("valueResidual", { own, first, mix }, { v0 }, 1);
  const { device, shape } = own;
  const layout = layOut({ own: own.size, first: own.size, mix: own.size });
  const params = { count: own.size, channels, plane: layout.at.first };
  const groups = [Math.ceil(own.size / LANES)] as const;
  const v = empty(device, shape);
  device.dispatch(residualKernel, "forward", { own, first, mix, v0, v }, params, groups);
  const inputs = [own, first, mix, v0];
  const offsetShape = v0.shape;
  record("valueResidual", [v], inputs, inputs, ([dv], sink, saved) => {
    if (!dv) return [];
    const [own, first, mix, v0] = saved as [Tensor, Tensor, Tensor, Tensor];
    const { at } = layout;
    const grads = makeRegion(device, layout);
    device.dispatch(residualKernel, "backward", { own, first, mix, v0, dv, grads }, params, groups);
    const windows = [at.own, at.first, at.mix].map((start, i) =>
      sink.needs(i) ? windowOf(grads, start, shape) : null,
    );
    return [...windows, ...sumPlanes(grads, [{ input: 3, shape: offsetShape, start: at.mix }], rows, channels, sink)];
  });
  return v;
}

/** As many invocations a head as its channels keep busy; planes begin `plane` values apart. */
function launchHeads(device: Device, rows: number, heads: number, channels: number, plane: number) {
  const { words, groups, knobs } = launchRows(device, rows * heads, channels / heads);
  return {
    groups,
    knobs,
    params: { all: rows * heads, words, row: channels / knobs.WIDTH, plane: plane / knobs.WIDTH },
  };
}

function check(
  op: string,
  rows: Readonly<Record<string, Tensor>>,
  parameters: Readonly<Record<string, Tensor>>,
  heads: number,
) {
  checkFloats(op, ...Object.values(rows), ...Object.values(parameters));
  const [[firstName, first], ...others] = Object.entries(rows) as [[string, Tensor], ...[string, Tensor][]];
  const channels = first.shape.at(-1) ?? 0;
  if (first.shape.length !== 3 || !Number.isInteger(channels / heads)) {
    throw new ShapeError(
      `${op}: ${firstName} is ${show(first.shape)} and there are ${heads} heads; it must be [B, T, C] with C a multiple of the heads`,
    );
  }
  for (const [name, tensor] of others) {
    if (!sameShape(tensor.shape, first.shape)) {
      throw new ShapeError(
        `${op}: ${firstName} is ${show(first.shape)} and ${name} is ${show(tensor.shape)}; they must be equal`,
      );
    }
  }
  for (const [name, tensor] of Object.entries(parameters)) {
    if (tensor.size !== channels) {
      throw new ShapeError(
        `${op}: ${name} is ${show(tensor.shape)} and ${firstName} is ${show(first.shape)}; it must have ${channels} values`,
      );
    }
  }
  return { rows: channels > 0 ? first.size / channels : 0, channels };
}
