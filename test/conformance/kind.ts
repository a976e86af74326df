import type { Device } from "../../src/gpu/device.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

/** One case of a fixture folder: its attributes and its tensors on the device. */
export interface FixtureCase {
  readonly device: Device;
  // biome-ignore lint/suspicious/noExplicitAny: attributes are free-form JSON, one shape a kind
  readonly attrs: any;
  /** `in.NAME`: F32 tensors require a gradient, I32 are i32, masks (U8) are u32. */
  in(name: string): Tensor;
  /** `param.NAME`; requires a gradient. */
  param(name: string): Tensor<"f32">;
  has(fullName: string): boolean;
  /** Called after backward, to add gradients of parameters that are not the fixture's own tensors to the outputs. */
  onGradients(collect: () => void): void;
  /** Has the harness dispose what the case made, once everything is compared. */
  own<T extends { dispose(): void }>(made: T): T;
  /** Full names, such as `param.weight_ih_l0`. */
  readonly names: readonly string[];
}

/**
 * Runs a case and returns its outputs by name without `out.`. The harness compares them, sends the stored
 * `dout.*` backward through those that have one (and 1 through a scalar `loss`), and compares the gradients of
 * every input and parameter that the file has a `grad.*` for.
 */
export type Kind = (fixture: FixtureCase) => Record<string, Tensor> | Promise<Record<string, Tensor>>;

/** Thrown by a kind for a variant that the engine does not have yet; the case then counts as skipped. */
export class NotCovered extends Error {}
