import { ValueError } from "../gpu/errors.ts";
import { dropout } from "../ops/dropout.ts";
import { defaultGenerator, type Generator } from "../tensor/generator.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

/** Zeroes elements with probability p and scales the rest by 1/(1-p) while training, as torch.nn.Dropout. */
export class Dropout extends Module {
  readonly p: number;
  private readonly generator: Generator | undefined;

  constructor(p = 0.5, generator?: Generator) {
    super();
    if (!(p >= 0 && p <= 1)) throw new ValueError(`Dropout: p is ${p}; use a probability from 0 to 1`);
    this.p = p;
    this.generator = generator;
  }

  forward(x: Tensor<"f32">): Tensor<"f32"> {
    if (!this.training || this.p === 0) return x;
    return dropout(x, this.p, this.generator ?? defaultGenerator(x.device));
  }
}
