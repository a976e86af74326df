import { effect, signal } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import type { Contender, ModelChoice } from "../protocol.ts";
import { qualityOf } from "../quality.ts";
import type { Run, State } from "../state.ts";
import { verdict } from "../verdict.ts";
import { followCompared, mountCompareCharts } from "./compareCharts.ts";
import { byId, make } from "./dom.ts";
import { brief, bytes, count, duration, milliseconds } from "./format.ts";
import { modelToken } from "./theme.ts";
import { sizeTitle } from "./title.ts";

/** The three answers to the question how a text can be remembered. */
const FIRST = ["lstm", "transformer", "rwkv7"];

/** Models of equal size on equal text, in turn: what each learned, how fast, and what it costs to go on. */
export function mountCompare(state: State, actions: Actions): void {
  const models = byId("compare-models");
  const start = byId("compare-start", HTMLButtonElement);
  const plan = byId("compare-plan");
  const result = byId("compare-verdict");
  const before = result.textContent;
  const rows = byId("compared");
  const heads = ["compare-quality", "compare-short", "compare-long", "compare-kept"].map((id) => byId(id));
  const chosen = signal<readonly string[]>(FIRST);

  byId("compare", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    if (!start.disabled) void actions.compare();
  });

  effect(() => {
    models.replaceChildren(
      ...state.catalogue.value.models.map((model) =>
        choice(model, chosen.peek().includes(model.id), (on) => {
          const order = state.catalogue.peek().models.map(({ id }) => id);
          chosen.value = order.filter((id) => (id === model.id ? on : chosen.peek().includes(id)));
        }),
      ),
    );
  });

  effect(() => {
    // The plan of a run follows every change of settings and text; so do the contenders.
    if (state.plan.value && state.text.value) void actions.contend(chosen.value);
  });

  effect(() => {
    const contenders = state.contenders.value;
    const comparing = state.comparing.value;
    const busy = state.phase.value === "training" || state.phase.value === "starting" || state.phase.value === "paused";
    const obstacle = contenders.find(({ obstacle }) => obstacle)?.obstacle;
    start.disabled = Boolean(obstacle) || contenders.length < 2 || busy || comparing !== null || !state.canTrain.value;
    plan.dataset.tone = obstacle ? "trouble" : "calm";
    plan.textContent = comparing
      ? `${nameOf(state, comparing.contenders[comparing.at])} is number ${comparing.at + 1} of ${comparing.contenders.length}; Stop ends the comparison.`
      : (obstacle ?? planSentence(state, contenders) + (busy ? " They can start when the present run is over." : ""));
  });

  effect(() => {
    followCompared(state);
    const runs = state.compared.value;
    const contenders = state.comparing.value?.contenders ?? [];
    const shown = contenders.length ? contenders : runs.length ? runs.map(contenderOf) : state.contenders.value;
    rows.replaceChildren(
      ...shown.map((contender) =>
        row(
          state,
          contender,
          runs.find((run) => run.settings.value.model === contender.settings.model),
        ),
      ),
    );
    const done = runs.filter((run) => run.cost.value.length > 0);
    const complete = done.length >= 2 && state.comparing.value === null;
    const quality = qualityOf(state.catalogue.value, shown[0]?.settings.text);
    const costs = costLabels(done[0]);
    for (const [i, label] of [quality.name, ...costs].entries()) (heads[i] as HTMLElement).textContent = label;
    const answer = complete
      ? verdict(
          done.map((run) => finding(state, run)),
          quality,
        )
      : before;
    // Read out once, not at every step of a later run.
    if (result.textContent !== answer) result.textContent = answer;
  });

  mountCompareCharts(state);
}

function choice({ id, name }: ModelChoice, checked: boolean, changed: (on: boolean) => void): HTMLLabelElement {
  const label = make("label");
  const box = make("input");
  Object.assign(box, { type: "checkbox", name: "contender", value: id, checked });
  box.addEventListener("change", () => changed(box.checked));
  const swatch = make("span", "swatch");
  swatch.style.setProperty("--swatch", `var(${modelToken(id)})`);
  label.append(box, swatch, name);
  return label;
}

function planSentence(state: State, contenders: readonly Contender[]): string {
  const [one] = contenders;
  if (!one || contenders.length < 2) return "Choose two models or more.";
  const { steps, batch, sequence } = one.settings;
  const sizes = contenders.map(({ parameters }) => parameters);
  const [low, high] = [Math.min(...sizes), Math.max(...sizes)];
  const size = brief(low) === brief(high) ? brief(low) : `${brief(low)} to ${brief(high)}`;
  const pace = state.probe.value?.milliseconds;
  const whose = state.catalogue.value.models.find(({ id }) => id === state.settings.value?.model)?.name;
  const time =
    pace && whose
      ? ` At the pace of the ${whose} about ${duration((contenders.length * steps * pace) / 1000)} in all.`
      : "";
  return `${contenders.length} models of ${size} parameters; each reads ${brief(steps * batch * sequence)} characters in ${count(steps)} steps.${time}`;
}

/** What the columns of cost are called: by the lengths of text, once they are measured. */
function costLabels(run: Run | undefined): readonly [short: string, long: string, kept: string] {
  const cost = run?.cost.value ?? [];
  const [short, long] = [cost[0], cost.at(-1)];
  if (!short || !long) return ["A token, short text", "A token, long text", "Memory, long text"];
  return [
    `A token after ${count(short.context)}`,
    `A token after ${count(long.context)}`,
    `Memory after ${count(long.context)}`,
  ];
}

function row(state: State, contender: Contender, run: Run | undefined): HTMLTableRowElement {
  const line = make("tr");
  const name = make("th", "", sizeTitle(state, contender.settings));
  name.scope = "row";
  const swatch = make("span", "swatch");
  swatch.style.setProperty("--swatch", `var(${modelToken(contender.settings.model)})`);
  name.prepend(swatch);
  const last = run?.curve.last;
  const heldOut = run?.curve.heldOut.at(-1);
  const quality = qualityOf(state.catalogue.value, contender.settings.text);
  const cost = run?.cost.value ?? [];
  const [short, long] = [cost[0], cost.at(-1)];
  const [atShort, atLong, kept] = costLabels(run);
  const cells: [string, string][] = [
    ["Parameters", count(contender.parameters)],
    [quality.name, heldOut ? quality.format(quality.of(heldOut)) : "–"],
    ["Training", last ? duration(last.seconds) : "–"],
    ["Tokens/s", brief(last ? last.tokens / last.seconds : Number.NaN)],
    [atShort, short ? milliseconds(short.milliseconds) : "–"],
    [atLong, long ? milliseconds(long.milliseconds) : "–"],
    [kept, long ? bytes(long.bytes) : "–"],
  ];
  line.append(
    name,
    ...cells.map(([label, value]) => {
      const cell = make("td", "number", value);
      cell.dataset.label = label;
      return cell;
    }),
  );
  return line;
}

const contenderOf = (run: Run): Contender => ({
  settings: run.settings.value,
  parameters: run.parameters,
  obstacle: null,
});

function nameOf(state: State, contender: Contender | undefined): string {
  const model = contender?.settings.model ?? "";
  return state.catalogue.value.models.find(({ id }) => id === model)?.name ?? model;
}

const finding = (state: State, run: Run) => ({
  name: nameOf(state, contenderOf(run)),
  heldOut: run.curve.heldOut.at(-1),
  seconds: run.curve.last?.seconds ?? Number.NaN,
  cost: run.cost.value,
});
