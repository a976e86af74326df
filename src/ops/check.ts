import { ShapeError } from "../gpu/errors.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Refuses disposed tensors and those that do not hold f32. */
export function checkFloats(op: string, ...tensors: readonly Tensor[]): void {
  for (const tensor of tensors) {
    tensor.check(op);
    if (tensor.dtype !== "f32") {
      throw new ShapeError(`${op}: the tensor ${show(tensor.shape)} holds ${tensor.dtype} and the operation works on f32; convert it with cast(x, "f32")`);
    }
  }
}

/** Refuses disposed tensors and those that do not hold ids. */
export function checkIds(op: string, tensor: Tensor): void {
  tensor.check(op);
  if (tensor.dtype === "f32") {
    throw new ShapeError(`${op}: the ids ${show(tensor.shape)} hold f32; make them with dtype "u32" or "i32", or convert them with cast(x, "u32")`);
  }
}
