import type { Device } from "../gpu/device.ts";
import { concat } from "../ops/concat.ts";
import { reshape } from "../ops/reshape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type CompareOptions, type Comparison, compare } from "./compare.ts";
import type { Ref } from "./reference.ts";

/** A family of kernels, run at small odd sizes beside float64. */
export interface Check {
  readonly name: string;
  run(device: Device): Promise<Comparison[]>;
}

type Inputs = readonly Ref[];

/** An operation with a gradient. `make` may put constants on the device that the operation needs. */
export function differentiated(
  name: string,
  inputs: Inputs,
  make: (device: Device) => (...inputs: Tensor<"f32">[]) => Tensor,
  reference: (...inputs: Ref[]) => Ref,
  options: CompareOptions = {},
): Check {
  return { name, run: (device) => compare(device, make(device), reference, inputs, { samples: 5, ...options }) };
}

/** An operation without one. */
export function forwardOnly(
  name: string,
  inputs: Inputs,
  make: (device: Device) => (...inputs: Tensor<"f32">[]) => Tensor,
  reference: (...inputs: Ref[]) => Ref,
  options: CompareOptions = {},
): Check {
  return differentiated(name, inputs, make, reference, { ...options, constant: inputs.map((_, i) => i) });
}

/** Several results in one row. */
export function joined(...results: readonly (Tensor | null | undefined)[]): Tensor<"f32"> {
  return concat(
    results.filter((one) => one !== null && one !== undefined).map((one) => reshape(one as Tensor<"f32">, [-1])),
  );
}
