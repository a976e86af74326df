import type { Answers, CatalogueCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { modelChoices } from "../models.ts";
import { Texts, textChoices } from "../texts.ts";

export const catalogueAnswers = (lab: Lab): Answers<CatalogueCalls> => ({
  async catalogue(base) {
    lab.texts = new Texts(base);
    return { models: modelChoices, texts: textChoices };
  },
});
