import sgdKernel from "../../kernels/optim/sgd.wgsl";
import { ValueError } from "../gpu/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { FlatBuffer } from "./flat.ts";
import type { ParameterGroup } from "./groups.ts";
import { Optimizer, type OptimizerOptions } from "./optimizer.ts";

/** Options of `SGD`. */
export interface SGDOptions extends OptimizerOptions {
  readonly momentum?: number;
  readonly dampening?: number;
  readonly nesterov?: boolean;
}

/** Stochastic gradient descent with momentum, as torch.optim.SGD. */
export class SGD extends Optimizer {
  private readonly momentum: number;
  private readonly dampening: number;
  private readonly nesterov: boolean;

  constructor(parameters: readonly Tensor<"f32">[] | readonly ParameterGroup[], options: SGDOptions) {
    super(parameters, options);
    const { momentum = 0, dampening = 0, nesterov = false } = options;
    if (!(momentum >= 0)) throw new ValueError(`SGD: momentum is ${momentum}; use 0 or more`);
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new ValueError(`SGD: Nesterov needs a momentum and no dampening, not ${momentum} and ${dampening}`);
    }
    this.momentum = momentum;
    this.dampening = dampening;
    this.nesterov = nesterov;
    this.addMoment("m");
  }

  protected corrections(): readonly [number, number] {
    return [0, 0];
  }

  protected update(buffer: FlatBuffer, index: number, blocks: Tensor<"u32">): void {
    const words = buffer.size / 4;
    this.device.dispatch(
      sgdKernel,
      "sgd",
      {
        p: buffer.values,
        grad: buffer.grads,
        m: this.moment("m", index),
        blocks,
        groups: this.groups,
        control: this.control,
      },
      { words, momentum: this.momentum, dampening: this.dampening },
      [Math.ceil(words / 64)],
      { MOMENTUM: this.momentum > 0, NESTEROV: this.nesterov },
    );
  }
}
