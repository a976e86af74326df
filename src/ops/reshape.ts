import { record } from "../autograd/graph.ts";
import type { DType } from "../tensor/dtype.ts";
import { axisOf, resolveShape, type Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { share } from "../tensor/view.ts";

/**
 * The same elements in another shape, without a copy: both tensors share memory.
 * @param shape one size may be -1: what is left
 * @throws ShapeError if the sizes do not multiply to the number of elements
 */
export function reshape<D extends DType>(x: Tensor<D>, shape: Shape): Tensor<D> {
  x.check("reshape");
  const y = share(x, resolveShape(shape, x.size, "reshape"));
  const from = x.shape;
  record("reshape", [y], [x], [], ([dy]) => [dy && share(dy, from)]);
  return y;
}

/** A view of shape [.., 1, ..] with an axis put in before `axis`; -1 puts it last. */
export function unsqueeze<D extends DType>(x: Tensor<D>, axis: number): Tensor<D> {
  const at = axisOf(axis, x.shape.length + 1, "unsqueeze");
  return reshape(x, x.shape.toSpliced(at, 0, 1));
}

/** A view of shape [.., product, ..] with the axes from `start` to `end` (inclusive) merged into one; by default all of them. */
export function flatten<D extends DType>(x: Tensor<D>, start = 0, end = -1): Tensor<D> {
  if (x.shape.length === 0) return reshape(x, [1]);
  const first = axisOf(start, x.shape.length, "flatten");
  const last = axisOf(end, x.shape.length, "flatten");
  const merged = x.shape.slice(first, last + 1).reduce((product, n) => product * n, 1);
  return reshape(x, [...x.shape.slice(0, first), merged, ...x.shape.slice(last + 1)]);
}
