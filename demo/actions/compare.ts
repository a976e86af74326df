import { effect } from "@preact/signals-core";
import type { Phase, State } from "../state.ts";
import type { Context } from "./context.ts";
import type { TrainingActions } from "./training.ts";

export interface CompareActions {
  /** Asks what a comparison of these models would train, at the present settings. */
  contend(models: readonly string[]): Promise<void>;
  /** Trains the contenders in turn and measures what a token costs each. */
  compare(): Promise<void>;
}

export function compareActions(
  { state, client, attempt, calm, fail }: Context,
  { begin }: TrainingActions,
): CompareActions {
  let asked = 0;
  async function contend(models: readonly string[]): Promise<void> {
    const settings = state.settings.value;
    if (!settings || !state.text.value || state.device.value.phase !== "ready") return;
    const mine = ++asked;
    const contenders = await attempt(() => client.call("match", settings, models));
    if (contenders && mine === asked) state.contenders.value = contenders;
  }

  return {
    contend,
    async compare() {
      // Settings that were changed a moment ago count too.
      await contend(state.contenders.value.map(({ settings }) => settings.model));
      const contenders = state.contenders.value;
      const obstacle = contenders.find(({ obstacle }) => obstacle)?.obstacle;
      if (obstacle) {
        fail({ kind: "refused", sentence: obstacle });
        return;
      }
      const comparison = crypto.randomUUID();
      for (const [at, { settings }] of contenders.entries()) {
        state.comparing.value = { contenders, at };
        const run = await begin(settings, comparison);
        if (!run || (await end(state)) !== "finished") break;
        const cost = await attempt(() => client.call("measureCost"));
        if (!cost) break;
        run.cost.value = cost;
        state.growth.value++;
        if (at === contenders.length - 1) calm("The comparison is complete. Open any of its runs below to talk to it.");
      }
      state.comparing.value = null;
    },
  };
}

/** The phase in which the run ends; pauses do not count. */
function end({ phase }: State): Promise<Phase> {
  return new Promise((resolve) => {
    const stop = effect(() => {
      const { value } = phase;
      if (value === "training" || value === "paused") return;
      resolve(value);
      queueMicrotask(() => stop());
    });
  });
}
