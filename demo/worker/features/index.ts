import type { Answers, Calls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { attentionAnswers } from "./attention.ts";
import { catalogueAnswers } from "./catalogue.ts";
import { checkAnswers } from "./check.ts";
import { compareAnswers } from "./compare.ts";
import { deviceAnswers } from "./device.ts";
import { fileAnswers } from "./files.ts";
import { libraryAnswers } from "./library.ts";
import { lookAnswers } from "./look.ts";
import { openAnswers } from "./open.ts";
import { settingsAnswers } from "./settings.ts";
import { talkAnswers } from "./talk.ts";
import { textAnswers } from "./texts.ts";
import { trainingAnswers } from "./training.ts";

/** The answer to every call of the page. */
export const answers = (lab: Lab): Answers<Calls> => ({
  ...catalogueAnswers(lab),
  ...deviceAnswers(lab),
  ...textAnswers(lab),
  ...settingsAnswers(lab),
  ...trainingAnswers(lab),
  ...talkAnswers(lab),
  ...fileAnswers(lab),
  ...libraryAnswers(lab),
  ...compareAnswers(lab),
  ...openAnswers(lab),
  ...checkAnswers(lab),
  ...lookAnswers(lab),
  ...attentionAnswers(lab),
});
