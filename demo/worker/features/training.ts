import { ValueError } from "../../../src/gpu/errors.ts";
import type { Answers, TrainingCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { planRun } from "../plan.ts";
import { newMark, Run } from "../run.ts";

export function trainingAnswers(lab: Lab): Answers<TrainingCalls> {
  const { training, turns, emit } = lab;

  async function keep(): Promise<null> {
    const { run } = lab;
    if (run) await turns.interrupt(() => training.keep(run));
    return null;
  }

  return {
    keep,
    async train(settings, comparison) {
      const text = await lab.texts.get(settings.text);
      const { obstacle } = planRun(settings, text, lab.needLimits());
      if (obstacle) throw new ValueError(obstacle);
      await training.end("stopped");
      return turns.take(async () => {
        const run = await lab.replaceRun(() => Run.create(lab.needDevice(), settings, text, newMark(comparison)));
        training.begin(run);
        return run.report(lab.texts);
      });
    },
    async pause() {
      await training.end("paused");
      emit({ kind: "phase", phase: "paused" });
      return keep();
    },
    async resume() {
      const run = lab.needRun();
      const text = await lab.texts.get(run.settings.text);
      return turns.take(async () => {
        const { steps } = run.settings;
        if (run.step >= steps) await run.extend(run.step + steps);
        run.prepare(text);
        lab.closeGuest();
        training.begin(run);
        return run.report(lab.texts);
      });
    },
    async stop() {
      await training.end("stopped");
      const run = lab.needRun();
      await turns.take(() => training.milestone(run));
      emit({ kind: "phase", phase: "stopped" });
      return keep();
    },
  };
}
