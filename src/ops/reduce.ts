import extremeKernel from "../../kernels/reduce/extreme.wgsl";
import { record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { axisOf, broadcastShapes, type Shape, sameShape, show, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFloats } from "./check.ts";
import { stretch } from "./expand.ts";
import { BLOCK, type Columns, columnsOf, heightOf, reduceColumns, sumAxes, sumOnto } from "./fold.ts";
import { reshape } from "./reshape.ts";

/** Options of reductions. */
export interface ReduceOptions {
  /** Leave the reduced axes in place with size 1. */
  readonly keepDims?: boolean;
}

/** One axis or several, from the end if negative. */
export type Axes = number | readonly number[];

interface Plan {
  readonly reduced: readonly boolean[];
  /** Shape of the result with the reduced axes kept as 1. */
  readonly kept: readonly number[];
  readonly shape: readonly number[];
  /** Elements that each result is made of. */
  readonly count: number;
}

function plan(op: string, x: Tensor, axes: Axes | undefined, { keepDims = false }: ReduceOptions): Plan {
  checkFloats(op, x);
  const list =
    axes === undefined ? x.shape.map((_, axis) => axis) : [axes].flat().map((axis) => axisOf(axis, x.shape.length, op));
  const reduced = x.shape.map((_, axis) => list.includes(axis));
  const kept = x.shape.map((n, axis) => (reduced[axis] ? 1 : n));
  const shape = keepDims ? kept : x.shape.filter((_, axis) => !reduced[axis]);
  return { reduced, kept, shape, count: sizeOf(x.shape.filter((_, axis) => reduced[axis])) };
}

function refuseEmpty(op: string, x: Tensor, { count, shape }: Plan): void {
  if (count === 0 && sizeOf(shape) > 0) {
    throw new ShapeError(
      `${op}: the tensor ${show(x.shape)} has no elements to take the ${op} of; give it at least one along the reduced axes`,
    );
  }
}

function scaledSum(op: string, x: Tensor, { reduced, kept, shape }: Plan, scale: number): Tensor<"f32"> {
  const y = sumAxes(x, reduced, shape, scale) as Tensor<"f32">;
  const from = x.shape;
  record(op, [y], [x], [], ([dy]) => [dy && stretchFrom(dy, kept, from, scale)]);
  return y;
}

function stretchFrom(dy: Tensor, kept: Shape, shape: Shape, scale: number): Tensor<"f32"> {
  const view = reshape(dy, kept);
  const dx = stretch(view, shape, scale);
  view.dispose();
  return dx;
}

/** Sum over `axes` (default: all, giving shape []); 0 where there is nothing to sum. Deterministic. */
export function sum(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor<"f32"> {
  return scaledSum("sum", x, plan("sum", x, axes, options), 1);
}

/**
 * Mean over `axes` (default: all, giving shape []).
 * @throws ShapeError if there is nothing to average
 */
export function mean(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor<"f32"> {
  const planned = plan("mean", x, axes, options);
  refuseEmpty("mean", x, planned);
  return scaledSum("mean", x, planned, planned.count === 0 ? 1 : 1 / planned.count);
}

/**
 * Sum of x over the axes along which `shape` would be stretched to that of x; the reverse of `expand`.
 * @throws ShapeError if `shape` does not stretch to that of x
 */
export function sumTo(x: Tensor, shape: Shape): Tensor<"f32"> {
  checkFloats("sumTo", x);
  if (!sameShape(broadcastShapes(x.shape, shape, "sumTo"), x.shape)) {
    throw new ShapeError(`sumTo: ${show(shape)} does not stretch to ${show(x.shape)}; give each axis its size or 1`);
  }
  const found = sumOnto(x, shape) as Tensor<"f32">;
  const y = found === x ? reshape(x, shape) : found;
  if (y.origin === null) {
    const from = x.shape;
    record("sumTo", [y], [x], [], ([dy]) => [dy && stretch(dy, from)]);
  }
  return y as Tensor<"f32">;
}

/**
 * Largest element over `axes` (default: all, giving shape []). NaN counts as larger than any number. The gradient goes to the first of equals.
 * @throws ShapeError if there is nothing to compare
 */
export function max(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor<"f32"> {
  return extreme("max", x, axes, options);
}

/** Smallest element over `axes` (default: all, giving shape []); otherwise as `max`. */
export function min(x: Tensor, axes?: Axes, options: ReduceOptions = {}): Tensor<"f32"> {
  return extreme("min", x, axes, options);
}

function extreme(op: "max" | "min", x: Tensor, axes: Axes | undefined, options: ReduceOptions): Tensor<"f32"> {
  const planned = plan(op, x, axes, options);
  refuseEmpty(op, x, planned);
  let current = x as Tensor<"f32">;
  for (const step of columnsOf(x.shape, planned.reduced)) {
    const next = extremeOf(op, current, step);
    if (current !== x) current.dispose();
    current = next;
  }
  const y = reshape(current, planned.shape);
  if (current !== x) current.dispose();
  return y;
}

function extremeOf(op: "max" | "min", x: Tensor, columns: Columns): Tensor<"f32"> {
  const y = empty(x.device, [columns.outer, columns.inner]);
  reduceColumns(op, x, y, columns);
  const { shape, device } = x;
  record(op, [y], [x], [x], ([dy], _sink, [x]) => {
    if (!dy) return [null];
    const place = placeOf(op, x, columns);
    const dx = empty(device, shape);
    const params = { columns: columns.outer * columns.inner, count: columns.count, inner: columns.inner };
    device.dispatch(extremeKernel, "backward", { place, dy, dx }, params, [Math.ceil(dx.size / 64)]);
    return [dx];
  });
  return y;
}

/** Which element of each column is the largest or smallest, lowest first. Not recorded. */
export function placeOf(op: "max" | "min", x: Tensor, { outer, count, inner }: Columns): Tensor<"u32"> {
  const columns = outer * inner;
  const index = empty(x.device, [outer, inner], "u32");
  const height = heightOf(x.device, columns, count, inner);
  x.device.dispatch(
    extremeKernel,
    "forward",
    { x, index },
    { columns, count, inner },
    [Math.ceil((columns * height) / BLOCK)],
    {
      SMALLEST: op === "min",
      HEIGHT: height,
      ALONG: inner === 1,
    },
  );
  return index;
}
