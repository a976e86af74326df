import { effect } from "@preact/signals-core";
import { nearest } from "../nearest.ts";
import { qualityOf } from "../quality.ts";
import type { Run, State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { count } from "./format.ts";
import { modelToken } from "./theme.ts";
import { runTitle } from "./title.ts";

/** The runs whose curves are drawn, the current one first: their held-out loss or right answers where the pointer is, and whether they stay. */
export function mountLossRuns(state: State): void {
  const list = byId("loss-runs");
  const empty = make("li", "help", "The run before stays as a pale line under the next; Keep holds a curve longer.");
  const rows = new Map<Run, HTMLLIElement>();
  effect(() => {
    const held = (run: Run) => Number(run === state.current.value);
    const shown = state.runs.value
      .filter((run) => run.shown.value)
      .reverse()
      .sort((a, b) => held(b) - held(a));
    for (const run of shown) if (!rows.has(run)) rows.set(run, row(run, state));
    list.replaceChildren(...(shown.length ? shown.map((run) => rows.get(run) as HTMLLIElement) : [empty]));
  });
}

function row(run: Run, state: State): HTMLLIElement {
  const item = make("li");
  const swatch = make("span", "swatch");
  swatch.style.setProperty("--swatch", `var(${modelToken(run.settings.peek().model)})`);
  const title = make("span", "called");
  const when = make("span", "when");
  const value = make("b");
  const keep = make("button", "quiet", "Keep");
  keep.type = "button";
  keep.addEventListener("click", () => {
    run.pinned.value = !run.pinned.value;
  });
  item.append(swatch, title, when, value, keep);
  effect(() => {
    title.textContent = runTitle(state, run);
    when.textContent = `step ${count(run.step.value)}`;
    item.dataset.held = String(run === state.current.value);
    keep.ariaPressed = String(run.pinned.value);
    keep.ariaLabel = `Keep the curve: ${title.textContent}, step ${count(run.step.value)}`;
  });
  effect(() => {
    void state.growth.value;
    const { heldOut } = run.curve;
    const step = state.pointed.value;
    const point = step === null ? heldOut.at(-1) : nearest(heldOut, (one) => one.step, step);
    const { of, format } = qualityOf(state.catalogue.value, run.settings.value.text);
    value.textContent = point ? format(of(point)) : "–";
  });
  return item;
}
