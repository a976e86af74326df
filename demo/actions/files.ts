import { batch } from "@preact/signals-core";
import { newRun } from "../state.ts";
import { count } from "../ui/format.ts";
import type { Context } from "./context.ts";
import { checkpointName, download } from "./download.ts";
import type { OpenActions } from "./open.ts";

export interface FileActions {
  save(): Promise<void>;
  /** Takes up the run of a file; a model without one is opened to be talked to, with its tokenizer if that came along. */
  load(files: readonly File[]): Promise<void>;
}

export function fileActions({ state, client, attempt, calm }: Context, { openModel }: OpenActions): FileActions {
  return {
    async save() {
      const run = state.current.value;
      const file = await attempt(() => client.call("save"));
      if (!file || !run) return;
      const name = checkpointName(run);
      download(file, name);
      calm(`Saved ${name}: model, optimiser and place in the text.`);
    },
    async load(files) {
      const [file] = files;
      if (!file) return;
      const run = await attempt(async () => [await client.call("holdsRun", file)]);
      if (!run) return;
      if (!run[0]) return void (await openModel({ kind: "files", files }));
      const report = await attempt(async () => client.call("load", await file.arrayBuffer()));
      if (!report) return;
      batch(() => {
        state.enter(newRun(report, report.history));
        state.phase.value = "stopped";
        state.growth.value++;
        calm(
          report.resumable
            ? `Loaded ${file.name} at step ${count(report.step)}. Resume the run, or talk to the model.`
            : `Loaded ${file.name} at step ${count(report.step)}. Talk to the model; to resume the run, choose Your own and paste its text first.`,
        );
      });
    },
  };
}
