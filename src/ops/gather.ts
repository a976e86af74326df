import gatherKernel from "../../kernels/shape/gather.wgsl";
import { record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import { axisOf, type Shape, sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { matrixAt } from "./band.ts";
import { checkWhole } from "./check.ts";

/**
 * Picks along `axis` by number: y[.., k, ..] = x[.., ids[.., k, ..], ..], as torch.gather.
 * An id outside the axis gives 0 and no gradient.
 * @param ids u32 or i32, of the shape of x but for `axis`
 * @throws ShapeError if ids has another shape, or holds no whole numbers
 */
export function gather<D extends DType>(x: Tensor<D>, axis: number, ids: Tensor): Tensor<D> {
  x.check("gather");
  const at = axisOf(axis, x.shape.length, "gather");
  if (ids.shape.length !== x.shape.length || !sameShape(ids.shape.with(at, 0), x.shape.with(at, 0))) {
    throw new ShapeError(
      `gather: the ids are ${show(ids.shape)} and x is ${show(x.shape)}; they must agree outside axis ${axis}`,
    );
  }
  return pick("gather", x, at, ids, ids.shape);
}

/**
 * Picks whole slices along `axis` by number: y[.., k, ..] = x[.., ids[k], ..], as torch.index_select.
 * An id outside the axis gives zeros and no gradient.
 * @param ids u32 or i32, one axis
 * @throws ShapeError if ids has not one axis, or holds no whole numbers
 */
export function indexSelect<D extends DType>(x: Tensor<D>, axis: number, ids: Tensor): Tensor<D> {
  x.check("indexSelect");
  const at = axisOf(axis, x.shape.length, "indexSelect");
  if (ids.shape.length !== 1) {
    throw new ShapeError(
      `indexSelect: the ids are ${show(ids.shape)}; give one axis of them, or use gather for ids a position`,
    );
  }
  return pick("indexSelect", x, at, ids, x.shape.with(at, ids.size));
}

function pick<D extends DType>(op: string, x: Tensor<D>, axis: number, ids: Tensor, shape: Shape): Tensor<D> {
  checkWhole(op, ids);
  const { device, shape: from } = x;
  const y = empty(device, shape, x.dtype);
  const sizes = { count: from[axis] as number, picks: shape[axis] as number, inner: matrixAt(from, axis).width };
  const knobs = { SHARED: op === "indexSelect" };
  device.dispatch(gatherKernel, "forward", { x, ids, y }, { total: y.size, ...sizes }, [Math.ceil(y.size / 64)], knobs);
  record(op, [y], [x], [ids], ([dy], _sink, [ids]) => {
    if (!dy) return [null];
    const dx = empty(device, from);
    device.dispatch(
      gatherKernel,
      "backward",
      { ids, dy, dx },
      { total: dx.size, ...sizes },
      [Math.ceil(dx.size / 64)],
      knobs,
    );
    return [dx];
  });
  return y;
}
