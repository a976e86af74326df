import mixKernel from "../../../kernels/wkv/mix6.wgsl";
import { record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";
import { sumPlanes } from "./planes.ts";

/** Ways in which RWKV-6 mixes. */
const WAYS = 5;
/** Of them in one launch: as many as bindings are left for. */
const AT_ONCE = 3;
const LANES = 64;

type Five<T> = readonly [T, T, T, T, T];

/**
 * RWKV-6's token shift: x + (mix + share) (x' - x) for each of five ways, with x' the step before. Two launches forward;
 * one back, and two for the sums that are the gradients of the mixes.
 * Source: Peng et al. 2024, https://arxiv.org/abs/2404.05892, section 4.1.
 * @param x [B, T, C], T of 1 or more
 * @param before the step before the first [B, C]; zeros if left out
 * @param shares [5, B T, C], for every token
 * @param mixes C values each, of any shape
 * @throws ShapeError naming the tensor that does not fit
 */
export function tokenShift6(
  x: Tensor,
  before: Tensor | null,
  shares: Tensor,
  mixes: Five<Tensor>,
): Five<Tensor<"f32">> {
  const { rows, steps, batch, channels } = check(x, before, shares, mixes);
  const { device, shape } = x;
  const inputs = [x, shares, ...mixes, ...(before ? [before] : [])];
  const recorded = gradEnabled() && inputs.some((input) => input.requiresGrad);
  const width = channels % 4 === 0 ? 4 : 1;
  const words = channels / width;
  const plane = layOut({ one: x.size }).size;
  const made = makeRegion(device, { at: {}, size: plane * (recorded ? 2 * WAYS + 1 : WAYS) });
  const params = { words, steps, rows, plane: plane / width, first: 0, slopes: 0, ending: 0 };
  const groups = [Math.ceil((rows * words) / LANES)] as const;
  const knobs = { word: width === 4 ? "vec4f" : "f32", GIVEN: before !== null, KEEP: recorded };
  for (let first = 0; first < WAYS; first += AT_ONCE) {
    const [q0, q1 = q0, q2 = q0] = mixes.slice(first, first + AT_ONCE) as [Tensor, Tensor?, Tensor?];
    const buffers = { x, before: before ?? x, shares, q0, q1, q2, made };
    const COUNT = Math.min(AT_ONCE, WAYS - first);
    device.dispatch(mixKernel, "forward", buffers, { ...params, first }, groups, { ...knobs, COUNT });
  }
  const mixed = mixes.map((_, n) => windowOf(made, n * plane, shape)) as unknown as Five<Tensor<"f32">>;

  const [shareShape, mixShapes] = [shares.shape, mixes.map((mix) => mix.shape)];
  record<readonly Tensor[]>("tokenShift6", mixed, inputs, [made], (given, sink, [kept]) => {
    const [dy0, dy1, dy2, dy3, dy4] = mixShapes.map(
      (_, n) => given[n] ?? zeros(device, shape),
    ) as unknown as Five<Tensor>;
    const { at, size } = layOut({ x: rows * channels, shares: WAYS * rows * channels, before: batch * channels });
    const grads = makeRegion(device, { at, size });
    const placed = { ...params, slopes: at.shares / width, ending: at.before / width };
    const buffers = { kept: kept as Tensor, dy0, dy1, dy2, dy3, dy4, grads };
    device.dispatch(mixKernel, "backward", buffers, placed, groups, { word: knobs.word });
    const sums = mixShapes.map((shape, n) => ({ input: 2 + n, shape, start: at.shares + n * rows * channels }));
    const part = (input: number, start: number, shape: readonly number[]) =>
      sink.needs(input) ? windowOf(grads, start, shape) : null;
    return [
      part(0, at.x, shape),
      part(1, at.shares, shareShape),
      ...sumPlanes(grads, sums, rows, channels, sink),
      part(2 + WAYS, at.before, [batch, channels]),
    ];
  });
  made.dispose();
  return mixed;
}

function check(x: Tensor, before: Tensor | null, shares: Tensor, mixes: readonly Tensor[]) {
  checkFloats("tokenShift6", x, shares, ...mixes, ...(before ? [before] : []));
  const [batch = 0, steps = 0, channels = 0] = x.shape;
  const rows = batch * steps;
  if (x.shape.length !== 3 || steps === 0) {
    throw new ShapeError(`tokenShift6: x is ${show(x.shape)}; it must be [B, T, C] with at least one step`);
  }
  const fits = (name: string, tensor: Tensor, shape: readonly number[]) => {
    if (sameShape(tensor.shape, shape)) return;
    throw new ShapeError(
      `tokenShift6: ${name} is ${show(tensor.shape)} and x is ${show(x.shape)}; it must be ${show(shape)}`,
    );
  };
  fits("shares", shares, [WAYS, rows, channels]);
  if (before) fits("before", before, [batch, channels]);
  for (const mix of mixes) {
    if (mix.size === channels) continue;
    throw new ShapeError(
      `tokenShift6: a mix is ${show(mix.shape)} and x is ${show(x.shape)}; it must have ${channels} values`,
    );
  }
  return { rows, steps, batch, channels };
}
