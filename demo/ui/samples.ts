import { effect } from "@preact/signals-core";
import type { Sample } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { count, decimal, squeezed } from "./format.ts";

/** The story of the run: what the model wrote at each stage, newest first. */
export function mountSamples({ current }: State): void {
  const list = byId("samples");
  const empty = list.firstElementChild as HTMLElement;
  let drawn: readonly Sample[] = [];
  effect(() => {
    const samples = current.value?.samples.value ?? [];
    const added = samples.slice(drawn.length);
    if (drawn.length > 0 && samples[drawn.length - 1] === drawn.at(-1)) list.prepend(...added.map(row).reverse());
    else list.replaceChildren(...(samples.length ? samples.map(row).reverse() : [empty]));
    drawn = samples;
  });
}

function row({ step, loss, text }: Sample): HTMLLIElement {
  const item = make("li");
  const when = make("p", "when");
  when.append(make("b", "", `step ${count(step)}`), ` loss ${decimal(loss)}`);
  item.append(when, make("p", "text", squeezed(text)));
  return item;
}
