import { backward } from "../autograd/backward.ts";
import type { Device } from "../gpu/device.ts";
import { tensor } from "../tensor/create.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { numbers, type Ref, ref } from "./reference.ts";

/** Numbers of the device beside those of a reference in float64; they may differ by atol + rtol |want|. */
export interface Comparison {
  readonly what: string;
  readonly pass: "forward" | "backward";
  readonly got: ArrayLike<number>;
  readonly want: ArrayLike<number>;
  readonly atol: number;
  readonly rtol: number;
}

/** How close two results have to be, and how a gradient is differenced. */
export interface CompareOptions {
  /** Allowed difference, whatever the size of the expected number; default 1e-5, and 1e-4 for gradients. */
  readonly atol?: number;
  /** Allowed difference as a share of the expected number; default 1e-4, and 1e-3 for gradients. */
  readonly rtol?: number;
  /** Step of the central differences; default 1e-5. */
  readonly step?: number;
  /** At most so many elements of each input are differenced (evenly spread); default 12. */
  readonly samples?: number;
  /** Inputs whose gradient is not compared, and which do not require one. */
  readonly constant?: readonly number[];
}

/**
 * An operation beside its reference: its value everywhere, and the gradient of <y, dy> with a fixed upstream dy beside
 * central differences of the reference, at some elements of every input.
 * @param op on tensors that hold the inputs
 * @param reference the same function of the inputs in float64
 */
export async function compare(
  device: Device,
  op: (...inputs: Tensor<"f32">[]) => Tensor,
  reference: (...inputs: Ref[]) => Ref,
  inputs: readonly Ref[],
  { step = 1e-5, samples = 12, constant = [], atol, rtol }: CompareOptions = {},
): Promise<Comparison[]> {
  const expected = reference(...inputs);
  const dy = numbers(expected.shape, -1, 1, 7);
  const leaves = inputs.map((x, i) => {
    const leaf = tensor(device, Float32Array.from(x.data), x.shape);
    leaf.requiresGrad = !constant.includes(i);
    return leaf;
  });
  const differenced = constant.length < inputs.length;
  let y: Tensor | null = null;
  try {
    y = scope(() => {
      const y = op(...leaves);
      if (differenced) backward(y, tensor(device, Float32Array.from(dy.data), y.shape));
      return y;
    });
    const found: Comparison[] = [
      {
        what: "value",
        pass: "forward",
        got: await y.data(),
        want: expected.data,
        atol: atol ?? 1e-5,
        rtol: rtol ?? 1e-4,
      },
    ];
    for (const [i, x] of inputs.entries()) {
      if (constant.includes(i)) continue;
      const grad = (await leaves[i]?.grad?.data()) ?? [];
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
      found.push({
        what: `gradient ${i}`,
        pass: "backward",
        got: places.map((place) => grad[place] ?? Number.NaN),
        want: slopes,
        atol: atol ?? 1e-4,
        rtol: rtol ?? 1e-3,
      });
    }
    return found;
  } finally {
    y?.dispose();
    for (const leaf of leaves) leaf.dispose();
  }
}

/** The largest difference, as a multiple of what is allowed; infinite where lengths differ or one is not finite. */
export function worstOf({ got, want, atol, rtol }: Comparison): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let worst = 0;
  for (let i = 0; i < want.length; i++) {
    const [a, e] = [got[i] as number, want[i] as number];
    if (Object.is(a, e)) continue;
    const difference = Math.abs(a - e) / (atol + rtol * Math.abs(e));
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  return worst;
}
