import type { Answers, LookCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { lookInto } from "../look.ts";

export const lookAnswers = (lab: Lab): Answers<LookCalls> => ({
  async look(text) {
    const voice = lab.needVoice();
    return lab.turns.interrupt(() => lookInto(voice, text));
  },
});
