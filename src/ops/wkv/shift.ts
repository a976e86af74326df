import shiftKernel from "../../../kernels/wkv/shift.wgsl";
import { type Grad, type GradSink, record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { type Shape, sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { type Place, placeOf } from "../place.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";

export interface ShiftOptions {
  /** The parameters tell how much of the present step is kept (RWKV-4 and 5), not how much the step before it adds. */
  readonly kept?: boolean;
}

export interface Shifted {
  /** x mixed with the step before it, [B, T, C], once for each parameter. */
  readonly mixed: readonly Tensor<"f32">[];
  /** The last step [B, C], for the sequence that follows. */
  readonly last: Tensor<"f32">;
}

/** Ways that one launch mixes: as many as bindings are left for. */
const WAYS = 5;
const LANES = 64;

/**
 * Token shift: x + mix (x' - x) for each of the parameters, with x' the step before. One launch for up to five of them.
 * Source: Peng et al. 2023, https://arxiv.org/abs/2305.13048.
 * @param x [B, T, C], T of 1 or more
 * @param before the step before the first [B, C]; zeros if left out
 * @param mixes C values each, of any shape
 * @throws ShapeError naming the tensor that does not fit
 */
export function tokenShift(
  x: Tensor,
  before: Tensor | null,
  mixes: readonly Tensor[],
  { kept = false }: ShiftOptions = {},
): Shifted {
  check(x, before, mixes);
  const mixed: Tensor<"f32">[] = [];
  let last: Tensor<"f32"> | null = null;
  const ways = Math.ceil(mixes.length / Math.ceil(mixes.length / WAYS));
  for (let from = 0; from < mixes.length; from += ways) {
    const run = shiftBy(x, before, mixes.slice(from, from + ways), kept);
    mixed.push(...run.mixed);
    if (last) run.last.dispose();
    else last = run.last;
  }
  return { mixed, last: last as unknown as Tensor<"f32"> };
}

function shiftBy(x: Tensor, before: Tensor | null, mixes: readonly Tensor[], kept: boolean): Shifted {
  const { device, shape } = x;
  const [batch, steps, channels] = shape as [number, number, number];
  const count = mixes.length;
  const vectors = channels % 4 === 0;
  const width = vectors ? 4 : 1;
  const rows = batch * steps;
  const chunk = Math.max(1, Math.ceil(Math.sqrt(rows)));
  const planes = Object.fromEntries(mixes.map((_, n) => [n, x.size]));
  const { at, size } = layOut<string>({ ...planes, last: batch * channels, shares: count * channels });
  const words = channels / width;
  const plane = (at[1] ?? at.last ?? 0) / width;
  const shares = (at.shares ?? 0) / width;
  const params = { words, steps, rows, plane, shares, chunk, chunks: Math.ceil(rows / chunk) };
  const inputs = [x, ...mixes, ...(before ? [before] : [])];
  const KEEP = gradEnabled() && inputs.some((input) => input.requiresGrad);
  const knobs = { word: vectors ? "vec4f" : "f32", COUNT: count, KEPT: kept, GIVEN: before !== null };

  const y = makeRegion(device, { at, size });
  const [q0, q1, q2, q3, q4] = fiveOf(mixes);
  const groups = [Math.ceil((rows * words) / LANES)] as const;
  const buffers = { x, before: before ?? x, q0, q1, q2, q3, q4, y };
  device.dispatch(shiftKernel, "forward", buffers, params, groups, { ...knobs, KEEP });
  const mixed = mixes.map((_, n) => windowOf(y, at[n] as number, shape));
  const last = windowOf(y, at.last as number, [batch, channels]);

  const mixShapes = mixes.map((mix) => mix.shape);
  const saved = [x, before ?? x, y];
  record<readonly Tensor[]>("tokenShift", [...mixed, last], inputs, saved, (grads, sink, saved) => {
    const [x, before, y] = saved as [Tensor, Tensor, Tensor];
    const [dy0, dy1, dy2, dy3, dy4] = fiveOf(mixShapes.map((_, n) => grads[n] ?? zeros(device, shape)));
    const dys = { dy0, dy1, dy2, dy3, dy4 };
    const dlast = grads[count] ?? null;
    const inner = sink.needs(0) || sink.needs(count + 1);
    const layout = layOut({ dx: x.size, dbefore: batch * channels });
    const dx = inner ? makeRegion(device, layout) : null;
    if (dx) {
      const buffers = { kept: y, ...dys, dlast: dlast ?? dy0, dx };
      const placed = { ...params, plane: layout.at.dbefore / width };
      device.dispatch(shiftKernel, "backward", buffers, placed, groups, { ...knobs, ENDING: dlast !== null });
    }
    return [
      dx && sink.needs(0) ? windowOf(dx, layout.at.dx, shape) : null,
      ...mixGradients({ x, before, ...dys }, mixShapes, params, knobs, sink),
      dx && sink.needs(count + 1) ? windowOf(dx, layout.at.dbefore, [batch, channels]) : null,
    ];
  });
  y.dispose();
  return { mixed, last };
}

/** Ways that are not in use are bound to the first one's tensor. */
function fiveOf(tensors: readonly Tensor[]): readonly [Tensor, Tensor, Tensor, Tensor, Tensor] {
  const [t0, t1 = t0, t2 = t0, t3 = t0, t4 = t0] = tensors as [Tensor, Tensor?, Tensor?, Tensor?, Tensor?];
  return [t0, t1, t2, t3, t4];
}

type Names = "x" | "before" | "dy0" | "dy1" | "dy2" | "dy3" | "dy4";

/** Gradients of the parameters, inputs 1 and on: sums over chunks of rows, then over the chunks. */
function mixGradients(
  operands: Readonly<Record<Names, Tensor>>,
  mixes: readonly Shape[],
  params: Readonly<Record<"words" | "steps" | "rows" | "plane" | "shares" | "chunk" | "chunks", number>>,
  knobs: { readonly word: string; readonly COUNT: number; readonly KEPT: boolean; readonly GIVEN: boolean },
  sink: GradSink,
): Grad[] {
  if (!mixes.some((_, n) => sink.needs(n + 1))) return mixes.map(() => null);
  const { device } = operands.x;
  const { words, chunks } = params;
  const channels = operands.x.shape.at(-1) as number;
  const sums = empty(device, [chunks, mixes.length, channels]);
  device.dispatch(shiftKernel, "slopes", { ...operands, sums }, params, [Math.ceil((chunks * words) / LANES)], knobs);
  // Ways that are not in use still have bindings, which must not be memory that another has.
  const places = Array.from({ length: WAYS }, (_, n) => {
    const shape = mixes[n];
    return shape ? placeOf(device, sink, n + 1, shape) : placeOf(device, sink, -1, [1]);
  }) as [Place, Place, Place, Place, Place];
  const [p0, p1, p2, p3, p4] = places;

  const added = Object.fromEntries(places.map(({ accumulate }, n) => [`ADD${n}`, accumulate]));
  const groups = [Math.ceil((mixes.length * words) / LANES)] as const;
  const buffers = { parts: sums, d0: p0.grad, d1: p1.grad, d2: p2.grad, d3: p3.grad, d4: p4.grad };
  device.dispatch(shiftKernel, "collect", buffers, params, groups, { ...knobs, ...added });
  return mixes.map((_, n) => places[n]?.returned ?? null);
}

function check(x: Tensor, before: Tensor | null, mixes: readonly Tensor[]): void {
  checkFloats("tokenShift", x, ...mixes, ...(before ? [before] : []));
  const [batch, steps, channels] = x.shape;
  if (x.shape.length !== 3 || !steps) {
    throw new ShapeError(`tokenShift: x is ${show(x.shape)}; it must be [B, T, C] with at least one step`);
  }
  for (const mix of mixes) {
    if (mix.size !== channels) {
      throw new ShapeError(
        `tokenShift: a mix is ${show(mix.shape)} and x is ${show(x.shape)}; it must have ${channels} values`,
      );
    }
  }
  if (before && !sameShape(before.shape, [batch as number, channels as number])) {
    throw new ShapeError(
      `tokenShift: before is ${show(before.shape)} and x is ${show(x.shape)}; it must be ${show([batch as number, channels as number])}`,
    );
  }
}
