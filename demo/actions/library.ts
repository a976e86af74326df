import { batch } from "@preact/signals-core";
import type { EventHandlers, LibraryEvent, LoadReport } from "../protocol.ts";
import { newRun, type Run } from "../state.ts";
import { count } from "../ui/format.ts";
import type { Context } from "./context.ts";
import { checkpointName, download } from "./download.ts";
import type { TextActions } from "./texts.ts";

export interface LibraryActions {
  /** Lists the runs that the browser kept on earlier visits, and takes up the latest if there is a device. */
  recall(): Promise<void>;
  /** Makes a kept run the one that can be resumed and talked to, and its settings those of the page. */
  openRun(run: Run): Promise<void>;
  exportRun(run: Run): Promise<void>;
  /** Calls a run by a name; by its model and size again if that is empty. */
  renameRun(run: Run, name: string): Promise<void>;
  /** Forgets a run, and what the browser keeps of it. */
  removeRun(run: Run): Promise<void>;
}

export function libraryActions({ state, client, attempt, calm }: Context, { takeUp }: TextActions): LibraryActions {
  /** Takes a run that the worker has just read from a checkpoint. */
  function take(report: LoadReport, sentence: string): void {
    batch(() => {
      state.enter(newRun(report, report.history, true));
      state.phase.value = "stopped";
      state.growth.value++;
      calm(sentence);
    });
  }

  async function open(id: string, sentence: (report: LoadReport) => string): Promise<LoadReport | null> {
    const report = await attempt(() => client.call("openRun", id));
    if (report) take(report, sentence(report));
    return report;
  }

  return {
    async recall() {
      const kept = (await attempt(() => client.call("library"))) ?? [];
      const latest = kept.at(-1);
      if (!latest) return;
      const runs = kept.map((report) => newRun(report, report.history, true));
      for (const run of runs) run.shown.value = false;
      state.runs.value = [...runs, ...state.runs.value];
      // Without a device they can still be looked at and exported.
      if (state.device.value.phase !== "ready") {
        (runs.at(-1) as Run).shown.value = true;
        state.growth.value++;
        return;
      }
      await open(
        latest.id,
        ({ step }) =>
          `Your latest run is here again, at step ${count(step)}. Resume it, talk to the model, or train another.`,
      );
    },
    async openRun(run) {
      const report = await open(
        run.id,
        ({ step }) => `The run is open again at step ${count(step)}. Resume it, or talk to the model.`,
      );
      // A text of the visitor's own came back to the worker alone.
      if (report && report.settings.text !== "own") takeUp(report.settings);
    },
    async exportRun(run) {
      const file = await attempt(() => client.call("exportRun", run.id));
      if (!file) return;
      const name = checkpointName(run);
      download(file, name);
      calm(`Saved ${name}: model, optimiser and place in the text.`);
    },
    async renameRun(run, name) {
      const called = name.trim() || null;
      if (called === run.name.value) return;
      run.name.value = called;
      await attempt(() => client.call("renameRun", run.id, called));
    },
    async removeRun(run) {
      const done = await attempt(async () => [await client.call("removeRun", run.id)]);
      if (!done) return;
      if (run === state.current.value) run.kept.value = false;
      else state.runs.value = state.runs.value.filter((other) => other !== run);
      calm("The run is removed.");
    },
  };
}

export function libraryEvents({ state, calm, fail }: Context): EventHandlers<LibraryEvent> {
  return {
    kept({ id }) {
      const run = state.runs.value.find((run) => run.id === id);
      if (!run) return;
      run.kept.value = true;
      if (run.refusal) calm("There is room again, and the browser keeps this run.");
      run.refusal = null;
    },
    notKept({ id, sentence }) {
      const run = state.runs.value.find((run) => run.id === id);
      if (run) run.refusal = sentence;
      fail({ kind: "refused", sentence });
    },
  };
}
