import { effect } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import { isTask, qualityOf } from "../quality.ts";
import type { Run, State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { brief, bytes, count } from "./format.ts";
import { modelToken } from "./theme.ts";
import { runTitle, sizeTitle } from "./title.ts";

/** So long a second click on Remove means it. */
const SURE_MS = 4000;

/** One line for each run, newest first. */
export function mountRuns(state: State, actions: Actions): void {
  const body = byId("runs");
  const empty = body.firstElementChild as HTMLElement;
  const rows = new Map<Run, HTMLTableRowElement>();
  effect(() => {
    const { value: runs } = state.runs;
    for (const run of runs) if (!rows.has(run)) rows.set(run, row(run, state, actions));
    const lines = runs.map((run) => rows.get(run) as HTMLTableRowElement).reverse();
    body.replaceChildren(...(lines.length ? lines : [empty]));
  });
}

function row(run: Run, state: State, actions: Actions): HTMLTableRowElement {
  const line = make("tr");
  const settings = run.settings.peek();
  const catalogue = state.catalogue.peek();
  const quality = qualityOf(catalogue, settings.text);
  const judged = isTask(catalogue, settings.text) ? " right" : "";
  const swatch = make("span", "swatch");
  swatch.style.setProperty("--swatch", `var(${modelToken(settings.model)})`);
  const size = sizeTitle(state, settings);
  const called = make("span", "called");
  const model = make("td");
  model.append(swatch, called);
  const text = catalogue.texts.find(({ id }) => id === settings.text)?.name ?? settings.text;
  const step = make("td", "number");
  const best = make("td", "number");
  const rate = make("td", "number");
  const tools = make("td", "tools");
  const toggle = button("Hide", () => {
    run.shown.value = !run.shown.value;
    run.pinned.value = true;
  });
  const open = button("Open", () => void actions.openRun(run));
  const rename = button("Rename", () => ask());
  const file = button("Export", () => void actions.exportRun(run));
  const remove = button("Remove", () => {
    if (remove.textContent === "Remove") doubt();
    else void actions.removeRun(run);
  });
  /** What was learned in an hour is not lost by one click. */
  function doubt(): void {
    remove.textContent = "Really?";
    setTimeout(() => {
      remove.textContent = "Remove";
    }, SURE_MS);
  }
  /** Turns the name into a field: Enter or leaving it renames, Escape does not. */
  function ask(): void {
    const field = make("input", "called");
    Object.assign(field, { type: "text", value: run.name.peek() ?? size, maxLength: 40, ariaLabel: "Name of the run" });
    let done = false;
    const end = (keep: boolean) => {
      // Taking the field away is leaving it.
      if (done) return;
      done = true;
      const held = document.activeElement === field;
      field.replaceWith(called);
      if (held) rename.focus();
      if (keep) void actions.renameRun(run, field.value.trim() === size ? "" : field.value);
    };
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      // The button has the focus again before the key is up, and would be pressed by it.
      event.preventDefault();
      end(event.key === "Enter");
    });
    field.addEventListener("blur", () => end(true));
    called.replaceWith(field);
    field.select();
  }
  tools.append(toggle, open, rename, file, remove);
  line.append(
    model,
    make("td", "number", count(run.parameters)),
    make("td", "", text),
    step,
    best,
    rate,
    make("td", "number", bytes(run.stateBytes)),
    tools,
  );
  effect(() => {
    void state.growth.value;
    step.textContent = count(run.step.value);
    const value = run.curve.best(quality);
    best.textContent = quality.format(value) + (Number.isFinite(value) ? judged : "");
    rate.textContent = brief(run.curve.last?.tokensPerSecond ?? Number.NaN);
  });
  effect(() => {
    const idle = state.phase.value !== "training" && state.phase.value !== "starting";
    const held = run === state.current.value;
    line.ariaCurrent = held ? "true" : null;
    toggle.textContent = run.shown.value ? "Hide" : "Show";
    open.disabled = held || !run.kept.value || !idle || state.device.value.phase !== "ready";
    file.disabled = !run.kept.value;
    remove.disabled = held && !idle;
    called.textContent = runTitle(state, run);
    model.title = run.name.value === null ? "" : size;
    const name = `${called.textContent}, step ${count(run.step.value)}`;
    for (const tool of [toggle, open, rename, file, remove]) tool.ariaLabel = `${tool.textContent}: ${name}`;
  });
  return line;
}

function button(text: string, act: () => void): HTMLButtonElement {
  const made = make("button", "quiet", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}
