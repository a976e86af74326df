import { record } from "../autograd/graph.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import { axisOf, sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { copyRows, matrixAt } from "./band.ts";
import { unsqueeze } from "./reshape.ts";

/**
 * Joins tensors along an axis; the other sizes must be equal. Empty tensors add nothing.
 * @throws ShapeError for unequal shapes or dtypes, ValueError without tensors
 */
export function concat<D extends DType>(tensors: readonly Tensor<D>[], axis = 0): Tensor<D> {
  const [first] = tensors;
  if (!first) throw new ValueError("concat: there is nothing to join; give at least one tensor");
  const at = axisOf(axis, first.shape.length, "concat");
  for (const tensor of tensors) {
    tensor.check("concat");
    if (tensor.shape.length !== first.shape.length || !sameShape(tensor.shape.with(at, 0), first.shape.with(at, 0))) {
      throw new ShapeError(
        `concat: ${show(first.shape)} and ${show(tensor.shape)} differ outside axis ${axis}; make all other sizes equal`,
      );
    }
    if (tensor.dtype !== first.dtype) {
      throw new ShapeError(
        `concat: the tensors hold ${first.dtype} and ${tensor.dtype}; convert them to one with cast`,
      );
    }
  }
  const { device } = first;
  const sizes = tensors.map((tensor) => tensor.shape[at] as number);
  const y = empty(
    device,
    first.shape.with(
      at,
      sizes.reduce((sum, n) => sum + n, 0),
    ),
    first.dtype,
  );
  const { rows, width: inner } = matrixAt(y.shape, at);
  const pitch = (y.shape[at] as number) * inner;
  const starts = sizes.map((_, i) => inner * sizes.slice(0, i).reduce((sum, n) => sum + n, 0));
  tensors.forEach((x, i) => {
    const width = (sizes[i] as number) * inner;
    copyRows(x, y, { rows, width, xpitch: width, ypitch: pitch, ystart: starts[i] as number });
  });
  const shapes = tensors.map((tensor) => tensor.shape);
  record("concat", [y], tensors, [], ([dy], sink) =>
    shapes.map((shape, i) => {
      if (!dy || !sink.needs(i)) return null;
      const dx = empty(device, shape);
      const width = (sizes[i] as number) * inner;
      copyRows(dy, dx, { rows, width, xpitch: pitch, xstart: starts[i] as number, ypitch: width });
      return dx;
    }),
  );
  return y;
}

/**
 * Joins tensors of one shape along a new axis.
 * @throws ShapeError for unequal shapes or dtypes, ValueError without tensors
 */
export function stack<D extends DType>(tensors: readonly Tensor<D>[], axis = 0): Tensor<D> {
  const views = tensors.map((tensor) => unsqueeze(tensor, axis));
  const y = concat(views, axis);
  for (const view of views) view.dispose();
  return y;
}
