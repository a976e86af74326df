import { type InitOptions, undrawn } from "../nn/init.ts";
import type { Module, StateDict } from "../nn/module.ts";

/** How a model is kept on the device. */
export interface WeightOptions {
  /**
   * "f16": weight matrices as halves, in half the memory, as after `half()`: for generation, and for tuning states. They are
   * halved one by one on their way to the device, or go there as they are if the file has them so. Default "f32".
   */
  readonly weights?: "f16" | "f32" | undefined;
}

/**
 * A model without values: what may be stored as halves, and all that is large, takes no memory before it is filled.
 * @param build makes the model with the given options
 */
export function unfilled<M extends Module>(build: (init: InitOptions) => M, { weights }: WeightOptions): M {
  const model = build({ random: undrawn });
  return weights === "f16" ? model.half() : model;
}

/**
 * A model with the values of a state dict; no initial values are drawn, which takes seconds for a large one.
 * @param build makes the model with the given options
 * @param values what it takes, by its own names and shapes
 * @throws FileError as `loadStateDict`; the model is disposed then
 */
export function filled<M extends Module>(
  build: (init: InitOptions) => M,
  values: (model: M) => StateDict,
  options: WeightOptions = {},
): M {
  const model = unfilled(build, options);
  try {
    model.loadStateDict(values(model));
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}
