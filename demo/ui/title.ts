import type { Settings } from "../protocol.ts";
import type { Run, State } from "../state.ts";

/** What a model is called for its kind and size: "LSTM 1 × 128". */
export function sizeTitle({ catalogue }: State, { model, layers, width }: Settings): string {
  const kind = catalogue.value.models.find(({ id }) => id === model)?.name ?? model;
  return `${kind} ${layers} × ${width}`;
}

/** What the tokens of whoever speaks are called; runs of this page learn characters. */
export const unitOf = ({ guest }: State): string => guest.value?.unit ?? "characters";

/** What a run is called: by its visitor, or for its model. */
export const runTitle = (state: State, run: Run): string => run.name.value ?? sizeTitle(state, run.settings.value);
