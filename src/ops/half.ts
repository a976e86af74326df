import halfKernel from "../../kernels/elementwise/half.wgsl";
import { gradEnabled } from "../autograd/mode.ts";
import { ValueError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { show } from "../tensor/shape.ts";
import { bytesOf, Tensor } from "../tensor/tensor.ts";
import { checkFloats } from "./check.ts";

/**
 * The same numbers, of any shape, stored as halves (f16), two to a word, in half the memory and on any device: rounded to nearest, ties to
 * even; beyond 65504 they become that. Arithmetic stays f32. `matmul` takes such a tensor as b, `linear` and `embedding` as
 * weight; other operations refuse it. It has no gradient.
 * @throws ShapeError if `x` does not hold f32
 */
export function toHalf(x: Tensor): Tensor<"f32"> {
  checkFloats("toHalf", x);
  const { device, shape, size } = x;
  const storage = device.allocate(bytesOf(size, true), `halves ${show(shape)}`);
  const packed = new Tensor(device, shape, "f32", storage, true);
  const words = Math.ceil(size / 4);
  device.dispatch(halfKernel, "pack", { x, packed }, { words }, [Math.ceil(words / 64)]);
  return packed;
}

/**
 * The numbers of a tensor of any shape stored as halves as f32 again: a copy that every operation reads. It has no gradient.
 * @throws ValueError if it is stored as f32 already
 */
export function toFull(halves: Tensor): Tensor<"f32"> {
  halves.check("toFull", true);
  if (!halves.half)
    throw new ValueError(`toFull: the tensor ${show(halves.shape)} is not stored as f16; use it as it is`);
  const { device, shape, size } = halves;
  const y = empty(device, shape);
  const words = Math.ceil(size / 4);
  device.dispatch(halfKernel, "unpack", { halves, y }, { words }, [Math.ceil(words / 64)]);
  return y;
}

/** A tensor as every operation reads it: itself, or a copy of what is stored as halves. */
export function fullOf<T extends Tensor>(x: T): T | Tensor<"f32"> {
  return x.half ? toFull(x) : x;
}

/** Refuses a gradient of a weight that is stored as halves, and of `others` where the operation has none beside halves. */
export function checkHalfWeight(op: string, weight: Tensor, ...others: readonly (Tensor | null | undefined)[]): void {
  if (!weight.half || !gradEnabled()) return;
  if (![weight, ...others].some((input) => input?.requiresGrad)) return;
  throw new ValueError(
    `${op}: the weight ${show(weight.shape)} is stored as f16, and has no gradient here; train with f32 weights, or run it inside noGrad`,
  );
}
