import { ShapeError } from "../gpu/errors.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Refuses disposed tensors and those that do not hold f32, or hold it as halves. */
export function checkFloats(op: string, ...tensors: readonly Tensor[]): void {
  for (const tensor of tensors) {
    tensor.check(op);
    checkWeight(op, tensor);
  }
}

/** As `checkFloats`, for a tensor that may be stored as halves. */
export function checkWeight(op: string, tensor: Tensor): void {
  tensor.check(op, true);
  if (tensor.dtype !== "f32") {
    throw new ShapeError(
      `${op}: the tensor ${show(tensor.shape)} holds ${tensor.dtype} and the operation works on f32; convert it with cast(x, "f32")`,
    );
  }
}

/** Refuses disposed tensors and those that hold no whole numbers: ids, lengths, masks. */
export function checkWhole(op: string, tensor: Tensor): void {
  tensor.check(op);
  if (tensor.dtype === "f32") {
    throw new ShapeError(
      `${op}: the tensor ${show(tensor.shape)} holds f32 and the operation needs u32 or i32 there; make it with dtype "u32" or "i32", or convert it with cast(x, "u32")`,
    );
  }
}
