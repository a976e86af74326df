import type { Device } from "../src/gpu/device.ts";
import type { Random } from "../src/tensor/philox.ts";
import type { Tensor } from "../src/tensor/tensor.ts";

/** One measured piece of work: an operation, or a launch of a kernel. */
export interface Line {
  /** family/what/sizes, for instance `matmul/square/512`; `--filter` looks in here. */
  readonly name: string;
  /** Arithmetic of one run, a fused multiply-add as 2. */
  readonly flops: number;
  /** Bytes that one run must at least read and write, each operand once. */
  readonly bytes: number;
  /** Allowed error: this share of the expected number, and of the largest in its tensor; default 1e-4. */
  readonly tolerance?: number;
  /** Makes the inputs on the device. */
  prepare(device: Device, random: Random): Work;
}

export interface Work {
  /** What `prepare` made; disposed after the measurement. */
  readonly inputs: readonly Tensor[];
  /** Records the launches; called many times, each time in a scope of its own. */
  run(): readonly Tensor[];
  /** What the tensors of `run` must hold, computed in float64. */
  expected(): readonly ArrayLike<number>[];
  /** Results of `run` that the following runs need: inputs that it changes, such as an optimizer's parameters. */
  readonly keeps?: readonly Tensor[];
  /** Gives back what `prepare` made besides the inputs. */
  dispose?(): void;
}
