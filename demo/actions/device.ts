import { batch } from "@preact/signals-core";
import { settingsFromHash } from "../link.ts";
import { preflight } from "../preflight.ts";
import type { DeviceEvent, EventHandlers } from "../protocol.ts";
import type { Context } from "./context.ts";
import type { LibraryActions } from "./library.ts";
import type { SettingsActions } from "./settings.ts";
import type { TextActions } from "./texts.ts";

const FIRST = { model: "lstm", options: {}, text: "moby-dick", seed: 1 } as const;

export interface DeviceActions {
  /** Opens the device, with a model, a text and a size chosen. */
  open(): Promise<void>;
}

export function deviceActions(
  { state, client, attempt, calm, fail }: Context,
  { plan }: SettingsActions,
  { readText }: TextActions,
  { recall }: LibraryActions,
): DeviceActions {
  return {
    async open() {
      const catalogue = await attempt(() => client.call("catalogue", document.baseURI));
      if (catalogue) state.catalogue.value = catalogue;
      state.starters.value = (await attempt(() => client.call("starters"))) ?? [];
      const linked = settingsFromHash(location.hash, state.catalogue.value);
      const reading = readText(linked.text ?? FIRST.text);
      const limits = await preflight(fail);
      if ("sentence" in limits) {
        fail(limits);
        return recall();
      }
      const report = await attempt(() => client.call("open", limits));
      if (!report) {
        if (state.device.value.phase === "opening")
          state.device.value = { phase: "missing", failure: { kind: "lost", sentence: state.status.value.sentence } };
        return recall();
      }
      batch(() => {
        state.device.value = { phase: "ready", report };
        const size = report.sizes[2];
        if (size) state.settings.value = { ...FIRST, ...size, ...linked };
        calm(
          report.software
            ? "No GPU here: the processor computes, slowly, and the sizes are chosen for it. Press Train on this text."
            : linked.model
              ? "The settings are those of the link. Press Train on this text."
              : "A text, a model and a size are chosen. Press Train on this text.",
        );
      });
      await reading;
      await plan();
      await recall();
    },
  };
}

export function deviceEvents({ state, fail }: Context): EventHandlers<DeviceEvent> {
  return {
    restored({ sentence, step }) {
      const run = state.current.value;
      batch(() => {
        if (run && step !== null) {
          run.curve.rewind(step);
          run.step.value = step;
          // What it wrote after that it will write again.
          run.samples.value = run.samples.value.filter((sample) => sample.step <= step);
        }
        state.growth.value++;
        // The text of the last answer stays, but what the model remembered of it is gone.
        state.talk.value = { ...state.talk.value, held: false };
        state.status.value = { tone: "trouble", sentence };
      });
    },
    failure({ failure }) {
      fail(failure);
    },
  };
}
