import type { Device } from "../gpu/device.ts";
import { type LinearOptions, linear } from "../ops/linear.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { constantInit, type InitOptions, normalInit, randomOf, uniformInit } from "./init.ts";
import { Module, type Parameter } from "./module.ts";

export interface LinearInit extends InitOptions {
  readonly bias?: boolean;
  /** Initialise the weight N(0, std^2) and the bias 0, instead of both U(-1/sqrt(in), 1/sqrt(in)). */
  readonly std?: number;
  /** Factor of the initial weight where that is uniform; default 1. */
  readonly gain?: number;
}

/** y = x W^T + b, as torch.nn.Linear; initialised U(-1/sqrt(in), 1/sqrt(in)) unless `std` is given. */
export class Linear extends Module {
  /** [outFeatures, inFeatures] */
  readonly weight: Parameter;
  /** [outFeatures] */
  readonly bias: Parameter | null;

  constructor(device: Device, inFeatures: number, outFeatures: number, options: LinearInit = {}) {
    super();
    const random = randomOf(options);
    const { bias = true, std, gain = 1 } = options;
    const bound = 1 / Math.sqrt(inFeatures);
    const shape = [outFeatures, inFeatures];
    const weight =
      std === undefined ? uniformInit(device, shape, gain * bound, random) : normalInit(device, shape, std, random);
    this.weight = this.matrix("weight", weight);
    const offset = () =>
      std === undefined ? uniformInit(device, [outFeatures], bound, random) : constantInit(device, [outFeatures], 0);
    this.bias = bias ? this.parameter("bias", offset()) : null;
  }

  /** [..., inFeatures] -> [..., outFeatures] */
  forward(x: Tensor, options: LinearOptions = {}): Tensor<"f32"> {
    return linear(x, this.weight, this.bias ?? undefined, options);
  }
}
