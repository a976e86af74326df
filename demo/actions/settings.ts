import { effect } from "@preact/signals-core";
import { Refusal } from "../client.ts";
import type { Settings, Size } from "../protocol.ts";
import type { Context } from "./context.ts";

/** Settings rest this long before a step of them is measured. */
const REST_MS = 1200;

export interface SettingsActions {
  change(settings: Partial<Settings>): void;
  /** Another architecture of the same size, with the learning rate that suits it. */
  chooseModel(model: string): void;
  resize(stop: number): void;
  /** Asks what a run of the present settings would need. */
  plan(): Promise<void>;
}

export function settingsActions({ state, client, attempt }: Context): SettingsActions {
  let plans = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const rateOf = (model: string) => state.catalogue.value.models.find(({ id }) => id === model)?.rate ?? 1;

  async function plan(): Promise<void> {
    const settings = state.settings.value;
    if (!settings || !state.text.value || state.device.value.phase !== "ready") return;
    const mine = ++plans;
    const found = await attempt(() => client.call("plan", settings));
    if (mine !== plans) return;
    state.plan.value = found;
    state.probe.value = null;
    rest();
  }

  const busy = () => ["training", "starting", "paused"].includes(state.phase.value) || state.comparing.value !== null;

  /** Measures a step of what is planned, once the settings have rested. */
  function rest(): void {
    clearTimeout(timer);
    const settings = state.settings.peek();
    const mine = plans;
    if (settings && state.plan.peek()?.obstacle === null)
      timer = setTimeout(() => void measure(settings, mine), REST_MS);
  }

  // What was planned while a run went on is measured after it.
  effect(() => {
    if (!busy() && !state.probe.peek()) rest();
  });

  /** Measures a step of such a run, unless the device has something better to do. */
  async function measure(settings: Settings, mine: number): Promise<void> {
    if (busy()) return;
    const found = await client.call("probe", settings).catch((error) => obstacleOf(error));
    if (mine !== plans || !state.plan.value) return;
    if (typeof found === "string") state.plan.value = { ...state.plan.value, obstacle: found };
    else state.probe.value = found;
  }

  function change(changed: Partial<Settings>): void {
    if (!state.settings.value) return;
    state.settings.value = { ...state.settings.value, ...changed };
    void plan();
  }

  return {
    plan,
    change,
    chooseModel(model) {
      const settings = state.settings.value;
      if (!settings || model === settings.model) return;
      const factor = rateOf(model) / rateOf(settings.model);
      change({ model, options: {}, learningRate: Number((settings.learningRate * factor).toPrecision(3)) });
    },
    resize(stop) {
      const { value } = state.device;
      const size: Size | undefined = value.phase === "ready" ? value.report.sizes[stop] : undefined;
      const settings = state.settings.value;
      if (!size || !settings) return;
      const learningRate = Number((size.learningRate * rateOf(settings.model)).toPrecision(3));
      change({ ...size, learningRate, options: {} });
    },
  };
}

/** Why such a run cannot be; a device that was lost is no fault of the settings. */
const obstacleOf = (error: unknown): string | null =>
  error instanceof Refusal && error.failure.kind === "refused" && !/was lost/.test(error.failure.sentence)
    ? error.failure.sentence
    : null;
