import type { Answers, OpenCalls } from "../../protocol.ts";
import { starters } from "../../starters/index.ts";
import { nameOf } from "../guest.ts";
import type { Lab } from "../lab.ts";

export const openAnswers = (lab: Lab): Answers<OpenCalls> => ({
  async starters() {
    return starters;
  },
  async openModel(source) {
    const guest = await lab.opening.open(lab.needDevice(), source);
    return lab.turns.interrupt(async () => {
      lab.guest?.voice.dispose();
      lab.guest = guest;
      const { model, tokenizer, memory } = guest.voice;
      const { kind } = model.config;
      const { parameterCount: parameters } = model;
      return { name: nameOf(source), model: kind, parameters, vocabulary: tokenizer.vocabSize, ...memory };
    });
  },
  async stopOpening() {
    lab.opening.stop();
    return null;
  },
  async closeModel() {
    await lab.turns.interrupt(async () => lab.closeGuest());
    return null;
  },
});
