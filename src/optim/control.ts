/**
 * Words of the `control` tensor, which the norm kernel writes and the optimizer kernels read
 * (kernels/optim/*.wgsl): a step needs nothing from the host but the learning rates.
 */
export const CONTROL = {
  /** Norm of all gradients before clipping. */
  norm: 0,
  /** What gradients are multiplied with. */
  factor: 1,
  /** 1 if this step is skipped because a gradient is not finite. */
  skip: 2,
  /** Steps taken. */
  steps: 3,
  /** Steps skipped. */
  skipped: 4,
  /** 1 - beta1^t and 1 - beta2^t. */
  correction1: 5,
  correction2: 6,
} as const;

export const CONTROL_WORDS = 8;
