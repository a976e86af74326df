import { type InitOptions, undrawn } from "../nn/init.ts";
import type { Module, StateDict } from "../nn/module.ts";

/**
 * A model with the values of a state dict; no initial values are drawn, which takes seconds for a large one.
 * @param build makes the model with the given options
 * @param values what it takes, by its own names and shapes
 * @throws FileError as `loadStateDict`; the model is disposed then
 */
export function filled<M extends Module>(build: (init: InitOptions) => M, values: (model: M) => StateDict): M {
  const model = build({ random: undrawn });
  try {
    model.loadStateDict(values(model));
    return model;
  } catch (error) {
    model.dispose();
    throw error;
  }
}
