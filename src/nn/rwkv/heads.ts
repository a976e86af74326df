import type { Device } from "../../gpu/device.ts";
import { ValueError } from "../../gpu/errors.ts";
import { groupNorm } from "../../ops/norm.ts";
import { reshape } from "../../ops/reshape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { constantInit } from "../init.ts";
import { Module, type Parameter } from "../module.ts";

/** Channels of a head. @throws ValueError if the heads do not divide the channels */
export function headSize(channels: number, heads: number): number {
  const size = channels / heads;
  if (!Number.isInteger(size) || size < 1) {
    throw new ValueError(
      `rwkv: ${heads} heads do not divide ${channels} channels; make the channels a multiple of the heads`,
    );
  }
  return size;
}

/** Normalises each head of each token, then scales and shifts each channel: `ln_x`. */
export class HeadNorm extends Module {
  private readonly weight: Parameter;
  private readonly bias: Parameter;
  private readonly eps: number;

  constructor(device: Device, channels: number, scale: number, eps: number) {
    super();
    this.eps = eps;
    this.weight = this.parameter("weight", constantInit(device, [channels], scale));
    this.bias = this.parameter("bias", constantInit(device, [channels], 0));
  }

  /** [B, T, H, N] -> [B, T, H N] */
  forward(x: Tensor): Tensor<"f32"> {
    const [batch = 0, steps = 0, heads = 1, size = 1] = x.shape;
    const rows = reshape(x, [batch * steps, heads * size]);
    return reshape(groupNorm(rows, heads, this.weight, this.bias, this.eps), [batch, steps, heads * size]);
  }
}

/** [B, T, C] -> [B, T, H, N] */
export function intoHeads(x: Tensor, heads: number): Tensor<"f32"> {
  const [batch = 0, steps = 0, channels = 0] = x.shape;
  return reshape(x, [batch, steps, heads, channels / heads]) as Tensor<"f32">;
}
