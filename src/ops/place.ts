import type { GradSink } from "../autograd/graph.ts";
import type { Device } from "../gpu/device.ts";
import { empty } from "../tensor/create.ts";
import type { Shape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Where a gradient is written. */
export interface Place {
  readonly grad: Tensor<"f32">;
  readonly accumulate: boolean;
  /** What backward returns for the input; null if the gradient lies in a leaf's own memory. */
  readonly returned: Tensor<"f32"> | null;
}

/** A leaf's own memory, or a fresh tensor, which also takes what a kernel writes without being asked. */
export function placeOf(device: Device, sink: GradSink, input: number, shape: Shape): Place {
  const into = sink.needs(input) ? sink.into(input) : null;
  if (into) return { ...into, returned: null };
  const grad = empty(device, shape);
  return { grad, accumulate: false, returned: grad };
}
