import type { Settings } from "../protocol.ts";
import type { Run, State } from "../state.ts";

/** What a model is called for its kind and size: "LSTM 1 × 128". */
export function sizeTitle({ catalogue }: State, { model, layers, width }: Settings): string {
  const kind = catalogue.value.models.find(({ id }) => id === model)?.name ?? model;
  return `${kind} ${layers} × ${width}`;
}

/** What a run is called: by its visitor, or for its model. */
export const runTitle = (state: State, run: Run): string => run.name.value ?? sizeTitle(state, run.settings.value);
