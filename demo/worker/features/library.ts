import type { Answers, LibraryCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { Run } from "../run.ts";
import { takeRun } from "../take.ts";

export const libraryAnswers = (lab: Lab): Answers<LibraryCalls> => ({
  async library() {
    return lab.store.list();
  },
  async openRun(id) {
    const { kept, file, text, state } = await lab.store.get(id);
    const { comparison, cost, name = null } = kept;
    if (text !== null) await lab.texts.load("own", text);
    const run = await takeRun(lab, () => Run.load(lab.needDevice(), file, { id, comparison, name, cost }));
    run.voice.kept = state;
    lab.training.kept = { file, step: run.step, at: performance.now() };
    return run.told(lab.texts);
  },
  async renameRun(id, name) {
    if (lab.run?.mark.id === id) lab.run.mark.name = name;
    await lab.store.rename(id, name);
    return null;
  },
  async removeRun(id) {
    await lab.store.remove(id);
    return null;
  },
  async exportRun(id) {
    const { run } = lab;
    // The run at hand may have learned more than the browser keeps of it, but only a device can tell.
    const now = run?.mark.id === id && run.healthy ? lab.turns.interrupt(() => run.checkpoint()) : null;
    return ((await now?.catch(() => null)) ?? (await lab.store.get(id)).file).buffer;
  },
});
