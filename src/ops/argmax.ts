import { ShapeError } from "../gpu/errors.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFloats } from "./check.ts";
import { placeOf } from "./reduce.ts";
import { reshape } from "./reshape.ts";

/**
 * Where the largest element of the last axis is; the lowest place of equals, and NaN counts as largest.
 * @param x [.., C] with C > 0
 * @returns u32 of shape [..]
 * @throws ShapeError if the last axis is empty
 */
export function argmax(x: Tensor): Tensor<"u32"> {
  checkFloats("argmax", x);
  const count = x.shape.at(-1) ?? 1;
  if (count === 0)
    throw new ShapeError(`argmax: the tensor ${show(x.shape)} has an empty last axis; give it at least one element`);
  const place = placeOf("max", x, { outer: x.size / count, count, inner: 1 });
  const y = reshape(place, x.shape.slice(0, -1));
  place.dispose();
  return y;
}
