import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose, type Tolerance } from "./close.ts";
import { numbers, type Ref, ref } from "./reference.ts";

export interface GradCheck extends Tolerance {
  /** Step of the central differences; default 1e-5. */
  readonly step?: number;
  /** At most so many elements of each input are differenced (evenly spread); default 12. */
  readonly samples?: number;
  /** Inputs whose gradient is not checked, and which do not require one. */
  readonly constant?: readonly number[];
}

/**
 * Checks an operation on the device against a reference in float64: its value everywhere, and the gradient of <y, dy> with a
 * fixed upstream dy by central differences of the reference at sampled elements.
 * @param op on tensors that hold the inputs
 * @param reference the same function of the inputs in float64
 */
export async function checkGradient(
  device: Device,
  op: (...inputs: Tensor<"f32">[]) => Tensor,
  reference: (...inputs: Ref[]) => Ref,
  inputs: readonly Ref[],
  { step = 1e-5, samples = 12, constant = [], what = "op", ...tolerance }: GradCheck = {},
): Promise<void> {
  const expected = reference(...inputs);
  const dy = numbers(expected.shape, -1, 1, 7);
  const leaves = inputs.map((x, i) => {
    const leaf = tensor(device, Float32Array.from(x.data), x.shape);
    leaf.requiresGrad = !constant.includes(i);
    return leaf;
  });
  const y = scope(() => {
    const y = op(...leaves);
    backward(y, tensor(device, Float32Array.from(dy.data), y.shape));
    return y;
  });
  const label = `${what} ${inputs.map((x) => `[${x.shape}]`).join(" ")}`;
  expectClose(await y.data(), expected.data, { ...tolerance, what: label });
  for (const [i, x] of inputs.entries()) {
    if (constant.includes(i)) continue;
    const grad = await leaves[i]?.grad?.data();
    if (grad?.length !== x.data.length) throw new Error(`${label}: input ${i} has no gradient of its size`);
    const stride = Math.max(1, Math.floor(x.data.length / samples));
    const places = Array.from({ length: Math.ceil(x.data.length / stride) }, (_, k) => k * stride);
    const slopes = places.map((place) => {
      const value = (delta: number) => {
        const moved = ref(x.shape, x.data);
        moved.data[place] = (moved.data[place] as number) + delta;
        const result = reference(...inputs.map((input, j) => (j === i ? moved : input)));
        return result.data.reduce((sum, v, k) => sum + v * (dy.data[k] as number), 0);
      };
      return (value(step) - value(-step)) / (2 * step);
    });
    expectClose(
      places.map((place) => grad[place] as number),
      slopes,
      { atol: 1e-4, rtol: 1e-3, ...tolerance, what: `gradient ${i} of ${label}` },
    );
  }
  y.dispose();
  for (const leaf of leaves) leaf.dispose();
}
