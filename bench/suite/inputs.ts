import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Random } from "../../src/tensor/philox.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** Values on the host, for the reference, and the same on the device. */
export interface Input {
  readonly values: Float32Array<ArrayBuffer>;
  readonly on: Tensor<"f32">;
}

/** Random numbers, uniform in [low, high). */
export function input(device: Device, random: Random, shape: Shape, low = -1, high = 1): Input {
  const values = random.fillUniform(new Float32Array(sizeOf(shape)), low, high);
  return { values, on: tensor(device, values, shape) };
}

/** Class ids below `count`. */
export function classes(device: Device, random: Random, size: number, count: number) {
  const values = Int32Array.from({ length: size }, () => random.integer(count));
  return { values, on: tensor(device, values) };
}

/**
 * An operation with its gradients: y, then the gradient of each leaf for the upstream gradient dy. Leaves take over what
 * backward made, as the tensors inside a model do; a gradient kept from before would be copied into.
 */
export function withGradients(leaves: readonly Tensor<"f32">[], op: () => Tensor, dy?: Tensor): () => Tensor[] {
  for (const leaf of leaves) leaf.requiresGrad = true;
  return () => {
    for (const leaf of leaves) {
      leaf.gradSlot?.dispose();
      leaf.gradSlot = null;
      leaf.gradValid = false;
    }
    const y = op();
    backward(y, dy);
    return [y, ...leaves.map((leaf) => leaf.gradSlot as Tensor)];
  };
}

/** Bytes of so many four-byte elements. */
export const words = (...counts: readonly number[]): number => 4 * counts.reduce((sum, count) => sum + count, 0);
