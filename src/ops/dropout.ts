import dropoutKernel from "../../kernels/random/dropout.wgsl";
import { record } from "../autograd/graph.ts";
import { ValueError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import type { Generator } from "../tensor/generator.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFloats } from "./check.ts";

/**
 * Sets each element, of any shape, to 0 with probability p and multiplies the others by 1 / (1 - p). p = 0 returns x itself. No mask is
 * kept: backward draws the same numbers again, so the generator must not advance between forward and backward.
 * In evaluation, do not call it.
 * @throws ValueError if p is outside 0..1
 */
export function dropout(x: Tensor, p: number, generator: Generator): Tensor<"f32"> {
  checkFloats("dropout", x);
  if (!(p >= 0 && p <= 1))
    throw new ValueError(`dropout: the probability ${p} is outside 0 to 1; give the share of elements to drop`);
  if (p === 0) return x as Tensor<"f32">;
  const { device } = x;
  const words = Math.ceil(x.size / 4);
  const groups = [Math.ceil(words / 64)] as const;
  const params = {
    words,
    call: generator.next(),
    threshold: Math.min(Math.round(p * 2 ** 32), 2 ** 32 - 1),
    scale: p === 1 ? 0 : 1 / (1 - p),
  };
  const y = empty(device, x.shape);
  device.dispatch(dropoutKernel, "forward", { state: generator.words, x, y }, params, groups);
  record("dropout", [y], [x], [generator.words], ([dy], _sink, [state]) => {
    if (!dy) return [null];
    const dx = empty(device, dy.shape);
    device.dispatch(dropoutKernel, "forward", { state, x: dy, y: dx }, params, groups);
    return [dx];
  });
  return y;
}
