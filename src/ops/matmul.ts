import { type GradSink, record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { broadcastShapes, type Shape, show, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFloats, checkWeight } from "./check.ts";
import { sumOnto } from "./fold.ts";
import { checkHalfWeight } from "./half.ts";
import { type Product, product, type Steps } from "./product.ts";

/** Options of `matmul`. */
export interface MatmulOptions {
  /** a is [..., K, M]. */
  readonly transposeA?: boolean;
  /** b is [..., N, K]. */
  readonly transposeB?: boolean;
}

/** Sizes of a batched product and where its matrices lie. */
interface Plan {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  readonly batch: number;
  readonly minor: number;
  readonly stepsA: Steps;
  readonly stepsB: Steps;
  /** Batch axes of the result. */
  readonly axes: Shape;
  readonly shape: Shape;
}

/**
 * Matrix product [..., M, K] x [..., K, N] -> [..., M, N]. Batch axes broadcast like NumPy's; K = 0 gives zeros.
 * b may be stored as halves (`toHalf`), without a gradient then.
 * @throws ShapeError if the inner sizes differ, a tensor has fewer than two axes, or batch axes do not broadcast;
 * ValueError if a gradient is wanted through halves
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor<"f32"> {
  checkFloats("matmul", a);
  checkWeight("matmul", b);
  // The gradient of a transposed operand would have the halves on the left.
  checkHalfWeight("matmul", b, options.transposeA ? a : null);
  const plan = planOf(a.shape, b.shape, options);
  const out = empty(a.device, plan.shape);
  product(a.device, { a, b, out, ...plan });
  record("matmul", [out], [a, b], [a, b], ([dy], sink, [a, b]) => {
    if (!dy) return [null, null];
    return [sink.needs(0) ? gradA(dy, a, b, plan, sink) : null, sink.needs(1) ? gradB(dy, a, b, plan, sink) : null];
  });
  return out;
}

/** da = dy b^T, or its transpose where a is stored transposed. */
function gradA(dy: Tensor, a: Tensor, b: Tensor, plan: Plan, sink: GradSink): Tensor | null {
  const { M, N, K, stepsB, transposeA, transposeB } = plan;
  const stepsY = stepsOf(plan, M * N);
  return gradient(
    a,
    0,
    plan,
    sink,
    transposeA
      ? { a: b, b: dy, M: K, N: M, K: N, stepsA: stepsB, stepsB: stepsY, transposeA: transposeB, transposeB: true }
      : { a: dy, b, M, N: K, K: N, stepsA: stepsY, stepsB, transposeA: false, transposeB: !transposeB },
  );
}

/** db = a^T dy, or its transpose where b is stored transposed. */
function gradB(dy: Tensor, a: Tensor, b: Tensor, plan: Plan, sink: GradSink): Tensor | null {
  const { M, N, K, stepsA, transposeA, transposeB } = plan;
  const stepsY = stepsOf(plan, M * N);
  return gradient(
    b,
    1,
    plan,
    sink,
    transposeB
      ? { a: dy, b: a, M: N, N: K, K: M, stepsA: stepsY, stepsB: stepsA, transposeA: true, transposeB: transposeA }
      : { a, b: dy, M: K, N, K: M, stepsA, stepsB: stepsY, transposeA: !transposeA, transposeB: false },
  );
}

/** Runs a gradient's product: straight into the parameter's slot, unless x was shared by several matrices of the result. */
function gradient(
  x: Tensor,
  index: number,
  { batch, minor, axes }: Plan,
  sink: GradSink,
  sizes: Omit<Product, "out">,
): Tensor | null {
  const slot = sink.into(index);
  const shared = x.size !== batch * sizes.M * sizes.N;
  const out = shared || !slot ? empty(x.device, shared ? [...axes, ...x.shape.slice(-2)] : x.shape) : slot.grad;
  product(x.device, { ...sizes, out, batch, minor, accumulate: !shared && slot?.accumulate });
  if (shared) return sumOnto(out, x.shape, slot);
  return slot ? null : out;
}

/** Steps of a tensor that has a matrix of its own for each of the result's. */
function stepsOf({ minor }: Plan, size: number): Steps {
  return [minor * size, size];
}

function planOf(a: Shape, b: Shape, { transposeA = false, transposeB = false }: MatmulOptions): Plan {
  for (const [name, shape] of [
    ["a", a],
    ["b", b],
  ] as const) {
    if (shape.length < 2)
      throw new ShapeError(
        `matmul: ${name} is ${show(shape)} and must have two axes or more; reshape it to a matrix of one row or one column`,
      );
  }
  const [rowsA, columnsA] = a.slice(-2) as [number, number];
  const [rowsB, columnsB] = b.slice(-2) as [number, number];
  const [M, inner] = transposeA ? [columnsA, rowsA] : [rowsA, columnsA];
  const [K, N] = transposeB ? [columnsB, rowsB] : [rowsB, columnsB];
  if (inner !== K) {
    const stored = [transposeA ? "a transposed" : "", transposeB ? "b transposed" : ""].filter(Boolean).join(" and ");
    throw new ShapeError(
      `matmul: a is ${show(a)} and b is ${show(b)}${stored ? `, ${stored}` : ""}; the inner sizes ${inner} and ${K} must be equal`,
    );
  }
  const axes = broadcastShapes(a.slice(0, -2), b.slice(0, -2), "matmul");
  const sizes = { N, K, transposeA, transposeB, axes, shape: [...axes, M, N] };
  // One matrix b for all: the rows of the others are those of a single taller product.
  if (b.length === 2 && !transposeA) {
    return { ...sizes, M: sizeOf(axes) * M, batch: 1, minor: 1, stepsA: [0, 0], stepsB: [0, 0] };
  }
  return { ...sizes, M, ...batchesOf(a, b, axes) };
}

/** Gathers batch axes into two: neighbours count as one where the same operand, or none, is shared along them. */
function batchesOf(a: Shape, b: Shape, axes: Shape): Pick<Plan, "batch" | "minor" | "stepsA" | "stepsB"> {
  const groups: { count: number; ownsA: boolean; ownsB: boolean }[] = [];
  for (let i = 1; i <= axes.length; i++) {
    const count = axes[axes.length - i] as number;
    if (count === 1) continue;
    const ownsA = (a[a.length - 2 - i] ?? 1) !== 1;
    const ownsB = (b[b.length - 2 - i] ?? 1) !== 1;
    const last = groups.at(-1);
    if (last && last.ownsA === ownsA && last.ownsB === ownsB) last.count *= count;
    else groups.push({ count, ownsA, ownsB });
  }
  if (groups.length > 2) {
    throw new ShapeError(
      `matmul: ${show(a)} and ${show(b)} are shared along batch axes in turns; expand one of them or reshape the batch axes into two`,
    );
  }
  const [inner = { count: 1, ownsA: false, ownsB: false }, outer] = groups;
  const steps = (size: number, ownsInner: boolean, ownsOuter = false): Steps => [
    ownsOuter ? size * (ownsInner ? inner.count : 1) : 0,
    ownsInner ? size : 0,
  ];
  return {
    batch: inner.count * (outer?.count ?? 1),
    minor: inner.count,
    stepsA: steps(sizeOf(a.slice(-2)), inner.ownsA, outer?.ownsA),
    stepsB: steps(sizeOf(b.slice(-2)), inner.ownsB, outer?.ownsB),
  };
}
