import { record } from "../autograd/graph.ts";
import { gradEnabled } from "../autograd/mode.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { sameShape, show, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFloats, checkWeight } from "./check.ts";
import { columnSums } from "./columns.ts";
import { checkHalfWeight } from "./half.ts";
import { placeOf } from "./place.ts";
import { type FusedActivation, product } from "./product.ts";
import { activate, slopeTimes } from "./unary.ts";

/** Options of `linear`. */
export interface LinearOptions {
  /** Applied to the result without a launch of its own. */
  readonly activation?: FusedActivation;
}

/** Activations whose slope can be read off their result; for the others backward needs what went in. */
const READ_FROM_RESULT = new Set<FusedActivation>(["relu", "tanh", "sigmoid"]);

/**
 * activation(x weight^T + bias): [..., in] -> [..., out].
 * @param weight [out, in], as PyTorch stores it; may be stored as halves (`toHalf`), without a gradient of its own then
 * @param bias [out]
 * @throws ShapeError if the sizes do not fit; ValueError if a gradient of halves is wanted
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  bias: Tensor | null = null,
  { activation }: LinearOptions = {},
): Tensor<"f32"> {
  check(x, weight, bias);
  const inputs = bias ? [x, weight, bias] : [x, weight];
  const recorded = gradEnabled() && inputs.some((input) => input.requiresGrad);
  if (activation && recorded && !READ_FROM_RESULT.has(activation)) return activate(linear(x, weight, bias), activation);
  const [outSize, inSize] = weight.shape as [number, number];
  const rows = sizeOf(x.shape.slice(0, -1));
  const { device } = x;
  const y = empty(device, [...x.shape.slice(0, -1), outSize]);
  product(device, { a: x, b: weight, bias, out: y, M: rows, N: outSize, K: inSize, transposeB: true, activation });
  record("linear", [y], inputs, [x, weight, ...(activation ? [y] : [])], ([dy], sink, [x, weight, y]) => {
    if (!dy) return [];
    const dSum = activation && y ? slopeTimes(activation, y, dy) : dy;
    const dx = sink.needs(0) ? empty(device, x.shape) : null;
    if (dx) product(device, { a: dSum, b: weight, out: dx, M: rows, N: inSize, K: outSize });
    const dWeight = sink.needs(1) ? placeOf(device, sink, 1, weight.shape) : null;
    if (dWeight) {
      const { grad: out, accumulate } = dWeight;
      product(device, { a: dSum, b: x, out, accumulate, M: outSize, N: inSize, K: rows, transposeA: true });
    }
    const dBias = sink.needs(2) ? placeOf(device, sink, 2, [outSize]) : null;
    if (dBias) columnSums(dSum, dBias.grad, dBias.accumulate);
    return [dx, dWeight?.returned ?? null, dBias?.returned ?? null];
  });
  return y;
}

function check(x: Tensor, weight: Tensor, bias: Tensor | null): void {
  checkFloats("linear", x);
  checkWeight("linear", weight);
  if (bias) checkFloats("linear", bias);
  checkHalfWeight("linear", weight);
  if (weight.shape.length !== 2) throw new ShapeError(`linear: weight is ${show(weight.shape)}; it must be [out, in]`);
  const [outSize, inSize] = weight.shape;
  if (x.shape.at(-1) !== inSize) {
    throw new ShapeError(
      `linear: x is ${show(x.shape)} and weight is ${show(weight.shape)}; the last size of both must be equal, weight being [out, in]`,
    );
  }
  if (bias && !sameShape(bias.shape, [outSize as number])) {
    throw new ShapeError(
      `linear: bias is ${show(bias.shape)} and weight is ${show(weight.shape)}; bias must be [${outSize}]`,
    );
  }
}
