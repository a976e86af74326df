import type { Answers, OpenCalls } from "../../protocol.ts";
import { starters } from "../../starters/index.ts";
import { modelAmong } from "../guest.ts";
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

/** On Hugging Face many files have one name, and the repository tells them apart. */
const HUGGING_FACE = /^https:\/\/huggingface\.co\/([^/]+\/[^/]+)\//;

function nameOf(source: Parameters<OpenCalls["openModel"]>[0]): string {
  if (source.kind === "starter") return source.id;
  if (source.kind === "files") return modelAmong(source.files)?.name ?? "";
  const file = new URL(source.address).pathname.split("/").at(-1) || source.address;
  const repository = HUGGING_FACE.exec(source.address)?.[1];
  return repository ? `${repository}, ${file}` : file;
}
