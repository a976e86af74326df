import reduceKernel from "../../kernels/reduce/reduce.wgsl";
import type { GradSink } from "../autograd/graph.ts";
import type { Device } from "../gpu/device.ts";
import { empty } from "../tensor/create.ts";
import { type Shape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { share } from "../tensor/view.ts";

/** Numbers of the reductions in kernels/reduce/reduce.wgsl. */
export const reductions = { sum: 0, max: 1, min: 2 } as const;
export type Reduction = keyof typeof reductions;

/** A tensor seen as (outer, count, inner), to be reduced over the middle axis. */
export interface Columns {
  readonly outer: number;
  readonly count: number;
  readonly inner: number;
}

/** Invocations a workgroup of the reducing kernels. */
export const BLOCK = 64;
/** An invocation adds up so many elements of a column before the column is split among workgroups, then half as many. */
const LONGEST_RUN = 128;
/** Enough invocations to fill a large GPU. */
const ENOUGH = 16384;

type Slot = ReturnType<GradSink["into"]>;

/** Invocations a column: few where columns are many, and never more than a quarter of its elements. */
export function heightOf(device: Device, columns: number, count: number, inner: number): number {
  // Emulations run a workgroup with barriers a hundred times slower than one without.
  if (device.software && columns >= BLOCK) return 1;
  // Side by side, eight columns at least, so that neighbours read neighbouring memory.
  const most = inner === 1 ? BLOCK : BLOCK / 8;
  let height = 1;
  while (height < most && height * 4 < count && (inner === 1 || columns * height < ENOUGH)) height *= 2;
  return height;
}

/**
 * y[o, i] = scale * reduce over r of x[o, r, i], or y += that. In one launch, or two where columns are long.
 * Not recorded. For max and min, `count` must not be 0.
 */
export function reduceColumns(
  op: Reduction,
  x: Tensor,
  y: Tensor,
  { outer, count, inner }: Columns,
  scale = 1,
  accumulate = false,
): void {
  if (y.size === 0) return;
  const folds = inner === 1 && count % 4 === 0 && count > 0;
  const vector = folds || inner % 4 === 0;
  const units = { count: folds ? count / 4 : count, inner: vector && !folds ? inner / 4 : inner };
  const columns = outer * units.inner;
  const height = heightOf(x.device, columns, units.count, inner);
  const run = Math.ceil(units.count / height);
  const wanted = run <= LONGEST_RUN ? 1 : Math.ceil(run / (LONGEST_RUN / 2));
  const chunk = Math.ceil(units.count / wanted);
  const splits = chunk === 0 ? 1 : Math.ceil(units.count / chunk);
  const whole = splits === 1;
  const out = whole ? y : empty(x.device, [outer, splits, inner]);
  x.device.dispatch(
    reduceKernel,
    "forward",
    { x, y: out },
    { columns, ...units, chunk, scale: whole ? scale : 1 },
    [Math.ceil((columns * height) / BLOCK), 1, splits],
    {
      OP: reductions[op],
      HEIGHT: height,
      FOLD: folds,
      ALONG: inner === 1,
      ADD: whole && accumulate,
      elem: vector ? "vec4f" : "f32",
      bits: vector ? "vec4u" : "u32",
      WIDTH: vector && !folds ? 4 : 1,
    },
  );
  if (whole) return;
  reduceColumns(op, out, y, { outer, count: splits, inner }, scale, accumulate);
  out.dispose();
}

/** Groups of neighbouring axes that are reduced together, last first, each with what is left of the tensor before it. */
export function columnsOf(shape: Shape, reduced: readonly boolean[]): Columns[] {
  const steps: Columns[] = [];
  let inner = 1;
  for (let axis = shape.length - 1; axis >= 0; ) {
    if (!reduced[axis]) {
      inner *= shape[axis--] as number;
      continue;
    }
    let count = 1;
    while (axis >= 0 && reduced[axis]) count *= shape[axis--] as number;
    const outer = shape.slice(0, axis + 1).reduce((product, n) => product * n, 1);
    if (count !== 1) steps.push({ outer, count, inner });
  }
  return steps;
}

/** scale * sum of x over the marked axes, as a tensor of `shape` or into a gradient slot. Not recorded. */
export function sumAxes(
  x: Tensor,
  reduced: readonly boolean[],
  shape: Shape,
  scale = 1,
  into: Slot = null,
): Tensor<"f32"> | null {
  const steps = columnsOf(x.shape, reduced);
  if (steps.length === 0) steps.push({ outer: x.size, count: 1, inner: 1 });
  let current = x;
  steps.forEach((step, i) => {
    const last = i === steps.length - 1;
    const y = last ? (into?.grad ?? empty(x.device, shape)) : empty(x.device, [step.outer, step.inner]);
    reduceColumns("sum", current, y, step, last ? scale : 1, last && (into?.accumulate ?? false));
    if (i > 0) current.dispose();
    current = y;
  });
  return into ? null : (current as Tensor<"f32">);
}

/** Sums a gradient over the axes along which a tensor of `shape` was stretched; x itself if there are none. Not recorded. */
export function sumOnto(x: Tensor, shape: Shape, into: Slot = null, scale = 1): Tensor<"f32"> | null {
  const offset = x.shape.length - shape.length;
  const reduced = x.shape.map((n, axis) => axis < offset || (shape[axis - offset] === 1 && n !== 1));
  if (into || scale !== 1 || columnsOf(x.shape, reduced).length > 0) return sumAxes(x, reduced, shape, scale, into);
  return (sameShape(x.shape, shape) ? x : share(x, shape)) as Tensor<"f32">;
}
