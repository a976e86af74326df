import type { Device } from "../gpu/device.ts";
import { addLayerNorm } from "../ops/addLayerNorm.ts";
import { layerNorm, rmsNorm } from "../ops/norm.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { constantInit } from "./init.ts";
import { Module, type Parameter } from "./module.ts";

/** Options of the norms. */
export interface NormOptions {
  /** Added to the variance; default 1e-5. */
  readonly eps?: number;
}

/**
 * Normalises the last axis to mean 0 and variance 1, then scales and shifts it, as torch.nn.LayerNorm. Its weight and bias
 * are [size]. Source: Ba, Kiros and Hinton 2016, https://arxiv.org/abs/1607.06450.
 */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter;
  private readonly eps: number;

  constructor(device: Device, size: number, options: NormOptions = {}) {
    super();
    this.eps = options.eps ?? 1e-5;
    this.weight = this.parameter("weight", constantInit(device, [size], 1));
    this.bias = this.parameter("bias", constantInit(device, [size], 0));
  }

  /** [..., size] -> [..., size] */
  forward(x: Tensor): Tensor<"f32"> {
    return layerNorm(x, this.weight, this.bias, this.eps);
  }

  /** Normalises x + update and gives both: a residual stream and what the next layer reads of it. */
  add(x: Tensor, update: Tensor | null): { readonly stream: Tensor<"f32">; readonly y: Tensor<"f32"> } {
    return addLayerNorm(x, update, this.weight, this.bias, this.eps);
  }
}

/**
 * Divides the last axis by its root mean square and scales it, as torch.nn.RMSNorm. Its weight is [size].
 * Source: Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467.
 */
export class RMSNorm extends Module {
  readonly weight: Parameter;
  private readonly eps: number;

  constructor(device: Device, size: number, options: NormOptions = {}) {
    super();
    this.eps = options.eps ?? 1e-5;
    this.weight = this.parameter("weight", constantInit(device, [size], 1));
  }

  /** [..., size] -> [..., size] */
  forward(x: Tensor): Tensor<"f32"> {
    return rmsNorm(x, this.weight, this.eps);
  }
}
