import type { Answers, SettingsCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { planRun } from "../plan.ts";

export const settingsAnswers = (lab: Lab): Answers<SettingsCalls> => ({
  async plan(settings) {
    return planRun(settings, await lab.texts.get(settings.text), lab.needLimits());
  },
});
