import type { Device } from "../gpu/device.ts";
import { type LinearOptions, linear } from "../ops/linear.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type InitOptions, randomOf, uniformInit } from "./init.ts";
import { Module, type Parameter } from "./module.ts";

/** y = x W^T + b, as torch.nn.Linear; initialised U(-1/sqrt(in), 1/sqrt(in)). */
export class Linear extends Module {
  /** [outFeatures, inFeatures] */
  readonly weight: Parameter;
  /** [outFeatures] */
  readonly bias: Parameter | null;

  constructor(
    device: Device,
    inFeatures: number,
    outFeatures: number,
    options: InitOptions & { readonly bias?: boolean } = {},
  ) {
    super();
    const random = randomOf(options);
    const bound = 1 / Math.sqrt(inFeatures);
    this.weight = this.parameter("weight", uniformInit(device, [outFeatures, inFeatures], bound, random));
    this.bias =
      options.bias === false ? null : this.parameter("bias", uniformInit(device, [outFeatures], bound, random));
  }

  /** [..., inFeatures] -> [..., outFeatures] */
  forward(x: Tensor, options: LinearOptions = {}): Tensor<"f32"> {
    return linear(x, this.weight, this.bias ?? undefined, options);
  }
}
