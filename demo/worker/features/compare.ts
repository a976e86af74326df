import type { Answers, CompareCalls } from "../../protocol.ts";
import { measureCost } from "../cost.ts";
import type { Lab } from "../lab.ts";
import { matchSettings } from "../match.ts";
import { planRun } from "../plan.ts";

export const compareAnswers = (lab: Lab): Answers<CompareCalls> => ({
  async match(settings, models) {
    const text = await lab.texts.get(settings.text);
    const limits = lab.needLimits();
    return models.map((model) => {
      const matched = matchSettings(settings, model, text.tokenizer.vocabSize);
      const { parameters, obstacle } = planRun(matched, text, limits);
      return { settings: matched, parameters, obstacle };
    });
  },
  async measureCost() {
    const run = lab.needRun();
    return lab.turns.interrupt(async () => {
      run.mark.cost = await measureCost(lab.needDevice(), run.voice.model.config);
      await lab.training.keep(run);
      return run.mark.cost;
    });
  },
});
