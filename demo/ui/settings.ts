import { effect } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import type { ModelChoice, Plan, Probe, ScheduleName, Settings, Size } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make, onChoice } from "./dom.ts";
import { brief, bytes, count, duration, milliseconds } from "./format.ts";
import { mountOptions } from "./options.ts";
import { modelToken } from "./theme.ts";

/** The number fields of the More panel and the setting that each of them holds. */
const FIELDS = {
  layers: "layers",
  width: "width",
  context: "context",
  batch: "batch",
  sequence: "sequence",
  steps: "steps",
  "learning-rate": "learningRate",
  clip: "clip",
  seed: "seed",
} as const satisfies Record<string, keyof Settings>;

/** What a size stop is called by those who do not see the marks under the slider. */
const STOPS = ["seconds", "between seconds and minutes", "minutes", "between minutes and an hour", "an hour"];

/** What makes a size; the learning rate also follows the model. */
const SIZE = ["layers", "width", "context", "batch", "sequence", "steps"] as const satisfies (keyof Size)[];

/** Model, size and the rest, and the line that says what a run would need. */
export function mountSettings(state: State, actions: Actions): void {
  const form = byId("settings", HTMLFormElement);
  const models = byId("models");
  const about = byId("model-about");
  const size = byId("size", HTMLInputElement);
  const sizeHelp = byId("size-help");
  const usual = sizeHelp.textContent;
  const schedule = byId("schedule", HTMLSelectElement);
  const plan = byId("plan");
  const context = byId("context", HTMLInputElement);
  const fields = Object.entries(FIELDS).map(([id, name]) => ({ input: byId(id, HTMLInputElement), name }));

  form.addEventListener("submit", (event) => event.preventDefault());
  size.addEventListener("input", () => actions.resize(size.valueAsNumber));
  schedule.addEventListener("change", () => actions.change({ schedule: schedule.value as ScheduleName }));
  for (const { input, name } of fields) {
    input.addEventListener("change", () => {
      if (input.reportValidity() && input.value !== "") actions.change({ [name]: input.valueAsNumber });
    });
  }

  effect(() => {
    models.replaceChildren(...state.catalogue.value.models.map(row));
    onChoice("model", (model) => actions.chooseModel(model));
  });

  effect(() => {
    const settings = state.settings.value;
    for (const radio of models.querySelectorAll("input")) {
      radio.checked = radio.value === settings?.model;
      radio.disabled = settings === null;
    }
    size.disabled = schedule.disabled = settings === null;
    for (const { input, name } of fields) {
      input.disabled = settings === null;
      if (settings) input.value = String(settings[name]);
    }
    const chosen = state.catalogue.value.models.find(({ id }) => id === settings?.model);
    about.textContent = chosen?.about ?? "";
    context.disabled = !chosen?.windowed;
    if (settings) schedule.value = settings.schedule;
  });

  effect(() => {
    const settings = state.settings.value;
    const { value } = state.device;
    if (!settings || value.phase !== "ready") return;
    const stop = value.report.sizes.findIndex((one) => SIZE.every((name) => one[name] === settings[name]));
    if (stop >= 0) size.valueAsNumber = stop;
    size.setAttribute("aria-valuetext", stop >= 0 ? `${STOPS[stop]} of training` : "set by hand");
    sizeHelp.textContent = stop >= 0 ? usual : "Set by hand under More; the slider leads back to a usual size.";
  });

  mountOptions(state, actions);

  effect(() => {
    const { value } = state.plan;
    const probe = state.probe.value;
    plan.dataset.tone = value?.obstacle ? "trouble" : "calm";
    plan.textContent = value ? (value.obstacle ?? planLine(value, probe, state.settings.value)) : "\u00a0";
  });
}

function planLine(plan: Plan, probe: Probe | null, settings: Settings | null): string {
  const { steps = 0, batch = 0, sequence = 0 } = settings ?? {};
  const needs = `${count(plan.parameters)} parameters, ${bytes(plan.memoryBytes)} of GPU memory.`;
  const reads = `The run reads ${brief(steps * batch * sequence)} characters`;
  if (!probe) return `${needs} ${reads}; a step is measured when nothing else runs.`;
  const { dispatches, milliseconds: ms } = probe;
  return `${needs} A step takes ${count(dispatches)} dispatches and ${milliseconds(ms)} here. ${reads} in about ${duration((steps * ms) / 1000)}.`;
}

function row({ id, name }: ModelChoice): HTMLLabelElement {
  const label = make("label");
  const radio = make("input");
  Object.assign(radio, { type: "radio", name: "model", value: id });
  const title = make("span", "", name);
  const swatch = make("span", "swatch");
  swatch.style.setProperty("--swatch", `var(${modelToken(id)})`);
  title.prepend(swatch);
  label.append(radio, title);
  return label;
}
