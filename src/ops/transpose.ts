import transposeKernel from "../../kernels/shape/transpose.wgsl";
import { record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import { axisOf, type Shape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { share } from "../tensor/view.ts";
import { copyStrided } from "./expand.ts";
import { collapse } from "./strides.ts";

const TILE = 32;
/** Narrower matrices leave most of a tile idle. */
const NARROW = 8;

/**
 * The axes in another order: axis i of the result is axis `order[i]` of x. A copy, unless only axes of size 1 move.
 * @throws ShapeError if `order` does not name every axis once
 */
export function permute<D extends DType>(x: Tensor<D>, order: readonly number[]): Tensor<D> {
  x.check("permute");
  const axes = order.map((axis) => axisOf(axis, x.shape.length, "permute"));
  if (axes.length !== x.shape.length || new Set(axes).size !== axes.length) {
    throw new ShapeError(
      `permute: ${show(order)} is no order of the axes of ${show(x.shape)}; name each of its ${x.shape.length} axes once`,
    );
  }
  const y = permuted(x, axes);
  const back = axes.map((_, axis) => axes.indexOf(axis));
  record("permute", [y], [x], [], ([dy]) => [dy && permuted(dy, back)]);
  return y;
}

/** Two axes swapped, by default the last two: [..., m, n] -> [..., n, m]. A copy. */
export function transpose<D extends DType>(x: Tensor<D>, first = -2, second = -1): Tensor<D> {
  const a = axisOf(first, x.shape.length, "transpose");
  const b = axisOf(second, x.shape.length, "transpose");
  return permute(
    x,
    x.shape.map((_, axis) => (axis === a ? b : axis === b ? a : axis)),
  );
}

function permuted<D extends DType>(x: Tensor<D>, axes: readonly number[]): Tensor<D> {
  const shape: Shape = axes.map((axis) => x.shape[axis] as number);
  const steps = axes.map((axis) => x.shape.slice(axis + 1).reduce((product, n) => product * n, 1));
  const walk = collapse(shape, [steps]);
  const strides = walk.strides[0] as readonly number[];
  const rank = strides.length;
  if (x.size === 0 || rank === 0 || (rank === 1 && strides[0] === 1)) return share(x, shape);
  // Seen from the result: rows that lie `rows` apart in x, columns side by side.
  const [columns = 1, rows = 1] = walk.sizes.slice(-2);
  const batch = rank === 3 ? (walk.sizes[0] as number) : 1;
  const swaps =
    strides[rank - 2] === 1 &&
    strides[rank - 1] === columns &&
    (rank === 2 || (rank === 3 && strides[0] === rows * columns));
  // An emulation gains nothing from tiles, and pays for their barrier.
  if (!swaps || Math.min(rows, columns) < NARROW || x.device.software) return copyStrided(x, shape, steps, "permute");
  const y = empty(x.device, shape, x.dtype);
  const tiles = batch * Math.ceil(rows / TILE) * Math.ceil(columns / TILE);
  x.device.dispatch(transposeKernel, "forward", { x, y }, { batch, rows, columns }, [tiles]);
  return y;
}
