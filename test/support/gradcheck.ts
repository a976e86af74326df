import { type CompareOptions, compare } from "../../src/check/compare.ts";
import type { Ref } from "../../src/check/reference.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "./close.ts";

export interface GradCheck extends CompareOptions {
  /** Named in the message. */
  readonly what?: string;
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
  { what = "op", ...options }: GradCheck = {},
): Promise<void> {
  const label = `${what} ${inputs.map((x) => `[${x.shape}]`).join(" ")}`;
  for (const { what: part, pass, got, want, ...tolerance } of await compare(device, op, reference, inputs, options))
    expectClose(got, want, { ...tolerance, what: pass === "forward" ? label : `${part} of ${label}` });
}
