import type { Device } from "../../gpu/device.ts";
import { type LinearOptions, linear } from "../../ops/linear.ts";
import type { Random } from "../../tensor/philox.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { zeroInit } from "../init.ts";
import { Module, type Parameter } from "../module.ts";
import { orthogonal } from "./init.ts";

/** A linear layer without bias: `weight` [out, in], zero, or orthogonal with a gain. */
export class Projection extends Module {
  readonly weight: Parameter;

  /** @param gain 0 for a layer that starts silent */
  constructor(device: Device, inFeatures: number, outFeatures: number, gain: number, random: Random) {
    super();
    const shape = [outFeatures, inFeatures];
    const weight = gain === 0 ? zeroInit(device, shape, random) : orthogonal(device, shape, gain, random);
    this.weight = this.matrix("weight", weight);
  }

  forward(x: Tensor, options: LinearOptions = {}): Tensor<"f32"> {
    return linear(x, this.weight, null, options);
  }
}
