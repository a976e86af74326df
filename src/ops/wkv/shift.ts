import shiftKernel from "../../../kernels/wkv/shift.wgsl";
import { type Grad, type GradSink, record } from "../../autograd/graph.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { type Place, placeOf } from "./place.ts";
import { layOut, makeRegion, windowOf } from "./region.ts";

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
const WAYS = 3;
const LANES = 64;

/**
 * Token shift: x + mix (x' - x) for each of the parameters, with x' the step before. One launch for three of them.
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
  for (let from = 0; from < mixes.length; from += WAYS) {
    const run = shiftBy(x, before, mixes.slice(from, from + WAYS), kept);
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
  const { at, size } = layOut<string>({ ...planes, last: batch * channels });
  const words = channels / width;
  const plane = (at[1] ?? at.last ?? 0) / width;
  const params = { words, steps, rows, plane, chunk, chunks: Math.ceil(rows / chunk) };
  const knobs = { word: vectors ? "vec4f" : "f32", COUNT: count, KEPT: kept, GIVEN: before !== null };

  const y = makeRegion(device, { at, size });
  const [q0, q1 = q0, q2 = q0] = mixes as [Tensor, Tensor?, Tensor?];
  const groups = [Math.ceil((rows * words) / LANES)] as const;
  device.dispatch(shiftKernel, "forward", { x, before: before ?? x, q0, q1, q2, y }, params, groups, knobs);
  const mixed = mixes.map((_, n) => windowOf(y, at[n] as number, shape));
  const last = windowOf(y, at.last as number, [batch, channels]);
  y.dispose();

  const inputs = [x, ...mixes, ...(before ? [before] : [])];
  const saved = [x, before ?? x, ...mixes];
  record<readonly Tensor[]>("tokenShift", [...mixed, last], inputs, saved, (grads, sink, [x, before, ...mixes]) => {
    const dys = mixes.map((_, n) => grads[n] ?? zeros(device, shape));
    const [dy0, dy1 = dy0, dy2 = dy0] = dys as [Tensor, Tensor?, Tensor?];
    const dlast = grads[count] ?? null;
    const inner = sink.needs(0) || sink.needs(count + 1);
    const layout = layOut({ dx: (x as Tensor).size, dbefore: batch * channels });
    const dx = inner ? makeRegion(device, layout) : null;
    if (dx) {
      const [q0, q1 = q0, q2 = q0] = mixes as [Tensor, Tensor?, Tensor?];
      const buffers = { q0, q1, q2, dy0, dy1, dy2, dlast: dlast ?? dy0, dx };
      const placed = { ...params, plane: layout.at.dbefore / width };
      device.dispatch(shiftKernel, "backward", buffers, placed, groups, { ...knobs, ENDING: dlast !== null });
    }
    const operands = { x: x as Tensor, before: before as Tensor, dy0, dy1, dy2 };
    return [
      dx && sink.needs(0) ? windowOf(dx, layout.at.dx, shape) : null,
      ...mixGradients(operands, mixes, params, knobs, sink),
      dx && sink.needs(count + 1) ? windowOf(dx, layout.at.dbefore, [batch, channels]) : null,
    ];
  });
  return { mixed, last };
}

type Names = "x" | "before" | "dy0" | "dy1" | "dy2";

/** Gradients of the parameters, inputs 1 and on: sums over chunks of rows, then over the chunks. */
function mixGradients(
  operands: Readonly<Record<Names, Tensor>>,
  mixes: readonly Tensor[],
  params: Readonly<Record<"words" | "steps" | "rows" | "plane" | "chunk" | "chunks", number>>,
  knobs: { readonly word: string; readonly COUNT: number; readonly KEPT: boolean; readonly GIVEN: boolean },
  sink: GradSink,
): Grad[] {
  if (!mixes.some((_, n) => sink.needs(n + 1))) return mixes.map(() => null);
  const { device } = operands.x;
  const { words, chunks } = params;
  const sums = empty(device, [chunks, mixes.length, (mixes[0] as Tensor).size]);
  device.dispatch(shiftKernel, "slopes", { ...operands, sums }, params, [Math.ceil((chunks * words) / LANES)], knobs);
  // Ways that are not in use still have bindings, which must not be memory that another has.
  const places = [0, 1, 2].map((n) => {
    const mix = mixes[n];
    return mix ? placeOf(device, sink, n + 1, mix.shape) : placeOf(device, sink, -1, [1]);
  }) as [Place, Place, Place];
  const [p0, p1, p2] = places;
  const added = { ADD0: p0.accumulate, ADD1: p1.accumulate, ADD2: p2.accumulate };
  const groups = [Math.ceil((mixes.length * words) / LANES)] as const;
  const buffers = { parts: sums, d0: p0.grad, d1: p1.grad, d2: p2.grad };
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
