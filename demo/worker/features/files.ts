import type { Answers, FileCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { Run } from "../run.ts";
import { holdsRun } from "../saved.ts";
import { takeRun } from "../take.ts";

export const fileAnswers = (lab: Lab): Answers<FileCalls> => ({
  async save() {
    const run = lab.needRun();
    return (await lab.turns.interrupt(() => run.checkpoint())).buffer;
  },
  holdsRun,
  async load(file) {
    const run = await takeRun(lab, () => Run.load(lab.needDevice(), file));
    await lab.turns.take(() => lab.training.keep(run));
    return run.told(lab.texts);
  },
});
