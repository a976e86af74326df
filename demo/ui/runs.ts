import { effect } from "@preact/signals-core";
import type { Run, State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { brief, bytes, count, decimal } from "./format.ts";
import { modelToken } from "./theme.ts";

/** One line for each run, newest first. */
export function mountRuns(state: State): void {
  const body = byId("runs");
  const empty = body.firstElementChild as HTMLElement;
  const rows = new Map<number, HTMLTableRowElement>();
  effect(() => {
    const { value: runs } = state.runs;
    for (const run of runs) if (!rows.has(run.id)) rows.set(run.id, row(run, state));
    const lines = runs.map(({ id }) => rows.get(id) as HTMLTableRowElement).reverse();
    body.replaceChildren(...(lines.length ? lines : [empty]));
  });
}

function row(run: Run, state: State): HTMLTableRowElement {
  const line = make("tr");
  const settings = run.settings.peek();
  const { models, texts } = state.catalogue.peek();
  const swatch = make("span", "swatch");
  swatch.style.setProperty("--swatch", `var(${modelToken(settings.model)})`);
  const name = models.find(({ id }) => id === settings.model)?.name ?? settings.model;
  const model = make("td", "", `${name} ${settings.layers} × ${settings.width}`);
  model.prepend(swatch);
  const text = texts.find(({ id }) => id === settings.text)?.name ?? settings.text;
  const step = make("td", "number");
  const best = make("td", "number");
  const rate = make("td", "number");
  const toggle = make("button", "quiet");
  toggle.type = "button";
  toggle.addEventListener("click", () => {
    run.shown.value = !run.shown.value;
  });
  const curve = make("td");
  curve.append(toggle);
  line.append(
    model,
    make("td", "number", count(run.parameters)),
    make("td", "", text),
    step,
    best,
    rate,
    make("td", "number", bytes(run.stateBytes)),
    curve,
  );
  effect(() => {
    void state.growth.value;
    step.textContent = count(run.step.value);
    best.textContent = decimal(run.curve.best);
    rate.textContent = brief(run.curve.last?.tokensPerSecond ?? Number.NaN);
  });
  effect(() => {
    toggle.textContent = run.shown.value ? "Hide" : "Show";
    toggle.ariaLabel = `${toggle.textContent} the curve of ${model.textContent}, run ${run.id + 1}`;
  });
  return line;
}
