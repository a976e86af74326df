import { record } from "../../autograd/graph.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty } from "../../tensor/create.ts";
import { show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { columnSums } from "../columns.ts";
import { checkHalfWeight } from "../half.ts";
import { placeOf } from "../place.ts";
import { product } from "../product.ts";
import { slopeTimes } from "../unary.ts";

export interface MapOptions {
  /** Added to every row: C values, of any shape. */
  readonly offset?: Tensor | null;
  readonly activation?: "tanh" | "sigmoid" | null;
}

/**
 * activation(x weight + offset) in one launch: half of a low-rank map, as RWKV stores its matrices.
 * @param x [..., K]
 * @param weight [K, C], in by out; may be stored as halves, without a gradient of its own then
 * @throws ShapeError naming the tensor that does not fit
 */
export function mapRows(
  x: Tensor,
  weight: Tensor,
  { offset = null, activation = null }: MapOptions = {},
): Tensor<"f32"> {
  checkFloats("mapRows", x, ...(offset ? [offset] : []));
  checkHalfWeight("mapRows", weight);
  const [K = 0, N = 0] = weight.shape;
  if (weight.shape.length !== 2 || x.shape.at(-1) !== K) {
    throw new ShapeError(
      `mapRows: x is ${show(x.shape)} and weight is ${show(weight.shape)}; weight must have as many rows as x has columns`,
    );
  }
  if (offset && offset.size !== N)
    throw new ShapeError(`mapRows: offset is ${show(offset.shape)}; it must have ${N} values`);
  const { device } = x;
  const M = K > 0 ? x.size / K : 0;
  const y = empty(device, [...x.shape.slice(0, -1), N]);
  product(device, { a: x, b: weight, bias: offset, out: y, M, N, K, activation });
  const inputs = [x, weight, ...(offset ? [offset] : [])];
  const saved = [x, weight, ...(activation ? [y] : [])];
  const offsetShape = offset?.shape ?? [];
  record<readonly Tensor[]>("mapRows", [y], inputs, saved, ([dy], sink, saved) => {
    if (!dy) return [];
    const [x, weight, y] = saved as [Tensor, Tensor, Tensor?];
    const dSum = y && activation ? slopeTimes(activation, y, dy) : dy;
    const dx = sink.needs(0) ? empty(device, x.shape) : null;
    if (dx) product(device, { a: dSum, b: weight, out: dx, M, N: K, K: N, transposeB: true });
    const dWeight = sink.needs(1) ? placeOf(device, sink, 1, weight.shape) : null;
    if (dWeight) {
      const { grad: out, accumulate } = dWeight;
      product(device, { a: x, b: dSum, out, accumulate, M: K, N, K: M, transposeA: true });
    }
    const dOffset = sink.needs(2) ? placeOf(device, sink, 2, offsetShape) : null;
    if (dOffset) columnSums(dSum, dOffset.grad, dOffset.accumulate);
    return [dx, dWeight?.returned ?? null, dOffset?.returned ?? null];
  });
  return y;
}
