import adamKernel from "../../kernels/optim/adam.wgsl";
import { ValueError } from "../gpu/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { FlatBuffer } from "./flat.ts";
import type { ParameterGroup } from "./groups.ts";
import { Optimizer, type OptimizerOptions } from "./optimizer.ts";

/** Options of `Adam` and `AdamW`. */
export interface AdamOptions extends OptimizerOptions {
  /** Decay rates of the first and second moment; default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** Added to the root; default 1e-8. */
  readonly eps?: number;
  /** Use the largest second moment so far (Reddi et al. 2018). */
  readonly amsgrad?: boolean;
}

/** Adam (Kingma and Ba 2014); weight decay is added to the gradient, as in torch.optim.Adam. */
export class Adam extends Optimizer {
  protected readonly decoupled: boolean = false;
  private readonly betas: readonly [number, number];
  private readonly eps: number;
  private readonly amsgrad: boolean;

  constructor(parameters: readonly Tensor<"f32">[] | readonly ParameterGroup[], options: AdamOptions) {
    super(parameters, options);
    const { betas = [0.9, 0.999], eps = 1e-8, amsgrad = false } = options;
    if (betas.some((beta) => !(beta >= 0 && beta < 1)))
      throw new ValueError(`Adam: betas are ${betas.join(", ")}; both must be at least 0 and below 1`);
    this.betas = betas;
    this.eps = eps;
    this.amsgrad = amsgrad;
    this.addMoment("m");
    this.addMoment("v");
    if (amsgrad) this.addMoment("largest");
  }

  protected corrections(): readonly [number, number] {
    return [1 - this.betas[0], 1 - this.betas[1]];
  }

  protected update(buffer: FlatBuffer, index: number, blocks: Tensor<"u32">): void {
    const words = buffer.size / 4;
    const [beta1, beta2] = this.betas;
    const params = { words, beta1, beta2, one_minus_beta1: 1 - beta1, one_minus_beta2: 1 - beta2, eps: this.eps };
    const buffers = {
      p: buffer.values,
      grad: buffer.grads,
      m: this.moment("m", index),
      v: this.moment("v", index),
      blocks,
      groups: this.groups,
      control: this.control,
    };
    const knobs = { DECOUPLED: this.decoupled };
    const groups = [Math.ceil(words / 64)] as const;
    if (this.amsgrad)
      this.device.dispatch(
        adamKernel,
        "amsgrad",
        { ...buffers, largest: this.moment("largest", index) },
        params,
        groups,
        knobs,
      );
    else this.device.dispatch(adamKernel, "adam", buffers, params, groups, knobs);
  }
}

/** Adam with decoupled weight decay (Loshchilov and Hutter 2017), as torch.optim.AdamW; decay 0.01 unless given. */
export class AdamW extends Adam {
  protected override readonly decoupled = true;

  constructor(parameters: readonly Tensor<"f32">[] | readonly ParameterGroup[], options: AdamOptions) {
    super(parameters, { ...options, weightDecay: options.weightDecay ?? 0.01 });
  }
}
