import { computed, effect } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import type { OptionChoice } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";

/** The fields of the sizes that only the chosen model has. What nobody set follows from the width, as planned. */
export function mountOptions(state: State, actions: Actions): void {
  const place = byId("options");
  const model = computed(() => state.settings.value?.model);
  const choices = computed(() => state.catalogue.value.models.find(({ id }) => id === model.value)?.options ?? []);

  effect(() => {
    place.replaceChildren(
      ...choices.value.flatMap((option) =>
        field(option, (value) => {
          const options = { ...state.settings.peek()?.options, [option.name]: value };
          actions.change({ options });
        }),
      ),
    );
  });
  effect(() => {
    const planned = { ...state.plan.value?.options, ...state.settings.value?.options };
    for (const { name } of choices.value) {
      const value = planned[name];
      if (value !== undefined) byId(`option-${name}`, HTMLInputElement).value = String(value);
    }
  });
}

function field({ name, label, min, max, step }: OptionChoice, onChange: (value: number) => void): HTMLElement[] {
  const input = make("input");
  Object.assign(input, { id: `option-${name}`, type: "number", min, max, step });
  input.addEventListener("change", () => {
    if (input.reportValidity() && input.value !== "") onChange(input.valueAsNumber);
  });
  const caption = make("label", "", label);
  caption.htmlFor = input.id;
  return [caption, input];
}
