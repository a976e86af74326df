import type { Module, StateDict } from "../nn/module.ts";

/**
 * The model with the values of a state dict.
 * @throws FileError as `loadStateDict`; the model is disposed then
 */
export function filled<M extends Module>(model: M, values: StateDict): M {
  try {
    model.loadStateDict(values);
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}
