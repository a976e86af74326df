import type { Answers, FileCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { Run } from "../run.ts";

export const fileAnswers = (lab: Lab): Answers<FileCalls> => ({
  async save() {
    const run = lab.needRun();
    return (await lab.turns.interrupt(() => run.checkpoint())).buffer;
  },
  async load(file) {
    // Read and built before the present run is given up: a bad file must not cost it.
    const run = await lab.turns.interrupt(async () => Run.load(lab.needDevice(), file));
    await lab.training.end("stopped");
    return lab.turns.take(async () => {
      lab.dropRun();
      lab.run = run;
      lab.training.kept = { file: new Uint8Array(file), step: run.step, at: performance.now() };
      return { ...run.report(lab.texts), history: run.story.history() };
    });
  },
});
