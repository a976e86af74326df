import type { DType } from "./dtype.ts";
import { keep } from "./scope.ts";
import type { Shape } from "./shape.ts";
import { Tensor } from "./tensor.ts";

/** Another tensor on the same memory, of a shape with as many elements; not part of any graph. */
export function share<D extends DType>(tensor: Tensor<D>, shape: Shape = tensor.shape): Tensor<D> {
  return new Tensor(tensor.device, shape, tensor.dtype, tensor.storage.retain(), tensor.half);
}

/** A view that no scope disposes; its owner does. */
export function hold<T extends Tensor>(tensor: T): T {
  return keep(share(tensor)) as T;
}
