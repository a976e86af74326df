import { batch } from "@preact/signals-core";
import type { EventHandlers, ModelSource, OpenEvent } from "../protocol.ts";
import { bytes, count } from "../ui/format.ts";
import type { Context } from "./context.ts";

export interface OpenActions {
  /** Opens a model to talk to. */
  openModel(source: ModelSource): Promise<boolean>;
  stopOpening(): Promise<void>;
  /** Gives an opened model up; the run, if there is one, speaks again. */
  closeModel(): Promise<void>;
}

export function openActions({ state, client, attempt, calm }: Context): OpenActions {
  return {
    async openModel(source) {
      state.opening.value = { loaded: 0, total: null };
      const report = await attempt(() => client.call("openModel", source));
      batch(() => {
        state.opening.value = null;
        if (!report) return;
        state.welcome(report);
        const { parameters, vocabulary, stateBytes, unit } = report;
        calm(
          `Opened ${nameOf(state, report.name)}: ${count(parameters)} parameters, ${count(vocabulary)} different ${unit}, ${bytes(stateBytes)} of state. Talk to it.`,
        );
      });
      return report !== null;
    },
    async stopOpening() {
      await attempt(() => client.call("stopOpening"));
    },
    async closeModel() {
      await attempt(() => client.call("closeModel"));
    },
  };
}

/** What people call an opened model: those of the page by model and text, others by their file. */
export function nameOf({ starters, catalogue }: Context["state"], name: string): string {
  const starter = starters.value.find(({ id }) => id === name);
  if (!starter) return name;
  const model = catalogue.value.models.find(({ id }) => id === starter.model)?.name ?? starter.model;
  const text = catalogue.value.texts.find(({ id }) => id === starter.corpus)?.name ?? starter.corpus;
  return `${model} on ${text}`;
}

export function openEvents({ state, calm, fail }: Context): EventHandlers<OpenEvent> {
  return {
    opening({ loaded, total }) {
      if (state.opening.value) state.opening.value = { loaded, total };
    },
    modelReopening() {
      state.opening.value = { loaded: 0, total: null };
    },
    modelReopened({ sentence }) {
      state.opening.value = null;
      if (sentence) fail({ kind: "refused", sentence });
      else if (state.guest.value) calm("The opened model is here again. Talk to it.");
    },
    modelClosed() {
      state.welcome(null);
    },
  };
}
