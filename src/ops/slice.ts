import { record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty, zeros } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import { axisOf, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { copyRows, matrixAt } from "./band.ts";

/**
 * A copy of the elements from `start` to before `end` along `axis`, [.., n, ..] -> [.., end - start, ..]. Both count from the end if negative and are cut to the
 * axis, as for arrays.
 */
export function slice<D extends DType>(x: Tensor<D>, axis: number, start: number, end?: number): Tensor<D> {
  x.check("slice");
  const at = axisOf(axis, x.shape.length, "slice");
  const size = x.shape[at] as number;
  const first = bound(start, size);
  const count = Math.max(0, bound(end ?? size, size) - first);
  const y = empty(x.device, x.shape.with(at, count), x.dtype);
  const { rows, width: inner } = matrixAt(x.shape, at);
  copyRows(x, y, { rows, width: count * inner, xpitch: size * inner, xstart: first * inner, ypitch: count * inner });
  const { shape, device } = x;
  record("slice", [y], [x], [], ([dy]) => {
    if (!dy) return [null];
    if (count === 0) return [zeros(device, shape)];
    const dx = empty(device, shape);
    const pitch = size * inner;
    copyRows(dy, dx, {
      rows,
      width: pitch,
      xpitch: count * inner,
      ypitch: pitch,
      lead: first * inner,
      count: count * inner,
    });
    return [dx];
  });
  return y;
}

function bound(index: number, size: number): number {
  if (!Number.isInteger(index))
    throw new ShapeError(`slice: ${index} is no index; give whole numbers for start and end`);
  return Math.min(Math.max(index < 0 ? index + size : index, 0), size);
}

/**
 * Cuts x, of any shape, along `axis` into pieces of the given sizes. Cheaper to differentiate than slices one by one.
 * @throws ShapeError if the sizes do not add up to the axis
 */
export function split<D extends DType>(x: Tensor<D>, sizes: readonly number[], axis = -1): Tensor<D>[] {
  x.check("split");
  const at = axisOf(axis, x.shape.length, "split");
  const total = x.shape[at] as number;
  if (sizes.some((n) => !Number.isInteger(n) || n < 0) || sizes.reduce((sum, n) => sum + n, 0) !== total) {
    throw new ShapeError(
      `split: the sizes ${show(sizes)} do not add up to the ${total} of axis ${axis} of ${show(x.shape)}`,
    );
  }
  const { rows, width: inner } = matrixAt(x.shape, at);
  const pitch = total * inner;
  const starts = sizes.map((_, i) => inner * sizes.slice(0, i).reduce((sum, n) => sum + n, 0));
  const pieces = sizes.map((n, i) => {
    const piece = empty(x.device, x.shape.with(at, n), x.dtype);
    copyRows(x, piece, { rows, width: n * inner, xpitch: pitch, xstart: starts[i] as number, ypitch: n * inner });
    return piece;
  });
  const { shape, device } = x;
  record("split", pieces, [x], [], (grads) => {
    const dx = grads.every((dy, i) => dy || sizes[i] === 0) ? empty(device, shape) : zeros(device, shape);
    grads.forEach((dy, i) => {
      const width = (sizes[i] as number) * inner;
      if (dy) copyRows(dy, dx, { rows, width, xpitch: width, ypitch: pitch, ystart: starts[i] as number });
    });
    return [dx];
  });
  return pieces;
}

/**
 * Cuts x, of any shape, along `axis` into `count` equal pieces.
 * @throws ShapeError if the axis does not divide by `count`
 */
export function chunk<D extends DType>(x: Tensor<D>, count: number, axis = -1): Tensor<D>[] {
  const size = (x.shape[axisOf(axis, x.shape.length, "chunk")] as number) / count;
  if (!Number.isInteger(size)) {
    throw new ShapeError(
      `chunk: axis ${axis} of ${show(x.shape)} does not divide into ${count}; use split with the sizes you want`,
    );
  }
  return split(x, new Array<number>(count).fill(size), axis);
}
