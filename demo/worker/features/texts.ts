import type { Answers, TextCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";

export const textAnswers = (lab: Lab): Answers<TextCalls> => ({
  readText: (id, own) => lab.texts.load(id, own),
});
