import stridedKernel from "../../kernels/shape/strided.wgsl";
import { record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import type { DType } from "../tensor/dtype.ts";
import { broadcastShapes, type Shape, sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { sumOnto } from "./fold.ts";
import { kernelWalk, stridesOnto } from "./strides.ts";

/** A copy of x walked over `shape` with the given step of x on each axis, times `scale`. Not recorded. */
export function copyStrided<D extends DType>(
  x: Tensor<D>,
  shape: Shape,
  strides: readonly number[],
  op: string,
  scale = 1,
): Tensor<D> {
  const y = empty(x.device, shape, x.dtype);
  if (y.size === 0) return y;
  const { rank, vector, words, sizes, strides: steps } = kernelWalk(shape, [strides], op);
  const step = steps[0] as readonly number[];
  const knobs = {
    RANK: rank,
    SCALED: scale !== 1,
    elem: vector ? "vec4u" : "u32",
    real: vector ? "vec4f" : "f32",
    source: vector && step[3] === 1 ? "vec4u" : "u32",
  };
  x.device.dispatch(stridedKernel, "forward", { x, y }, { sizes, step, words, scale }, [Math.ceil(words / 64)], knobs);
  return y;
}

/** x stretched to a larger shape and multiplied by `scale`; not recorded. */
export function stretch(x: Tensor, shape: Shape, scale = 1): Tensor<"f32"> {
  return copyStrided(x, shape, stridesOnto(x.shape, shape), "expand", scale) as Tensor<"f32">;
}

/**
 * x repeated along axes of size 1 (and new ones in front) up to `shape`, as NumPy broadcasts.
 * Operations broadcast by themselves; this makes the copy real.
 * @throws ShapeError if x does not broadcast to `shape`
 */
export function expand<D extends DType>(x: Tensor<D>, shape: Shape): Tensor<D> {
  x.check("expand");
  if (!sameShape(broadcastShapes(x.shape, shape, "expand"), shape)) {
    throw new ShapeError(`expand: ${show(x.shape)} does not stretch to ${show(shape)}; only sizes of 1 stretch`);
  }
  const y = copyStrided(x, shape, stridesOnto(x.shape, shape), "expand");
  const from = x.shape;
  record("expand", [y], [x], [], ([dy], sink) => [dy && sumOnto(dy, from, sink.into(0))]);
  return y;
}
