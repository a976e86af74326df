import { ValueError } from "../../../src/gpu/errors.ts";
import type { Progress } from "../../../src/io/reader.ts";
import type { Answers, OpenCalls } from "../../protocol.ts";
import { starters } from "../../starters/index.ts";
import { openGuest, type Reading } from "../guest.ts";
import type { Lab } from "../lab.ts";

/** Milliseconds between two words on how much of a file has come. */
const TELL_MS = 100;

export function openAnswers(lab: Lab): Answers<OpenCalls> {
  let opening = new AbortController();

  /** Tells the page at even times how much has come. */
  async function telling<T>(read: (onProgress: Reading["onProgress"]) => Promise<T>): Promise<T> {
    let latest: Progress | null = null;
    const timer = setInterval(() => {
      if (latest) lab.emit({ kind: "opening", ...latest });
      latest = null;
    }, TELL_MS);
    try {
      return await read((progress) => {
        latest = progress;
      });
    } finally {
      clearInterval(timer);
    }
  }

  return {
    async starters() {
      return starters;
    },
    async openModel(source) {
      opening.abort(stopped());
      opening = new AbortController();
      const { signal } = opening;
      const guest = await telling((onProgress) => openGuest(lab.needDevice(), source, { signal, onProgress }));
      return lab.turns.interrupt(async () => {
        lab.guest?.dispose();
        lab.guest = guest;
        const { model, tokenizer, stateBytes } = guest;
        const { kind } = model.config;
        return {
          name: nameOf(source),
          ...{ model: kind, parameters: model.parameterCount, vocabulary: tokenizer.vocabSize, stateBytes },
        };
      });
    },
    async stopOpening() {
      opening.abort(stopped());
      return null;
    },
    async closeModel() {
      await lab.turns.interrupt(async () => lab.closeGuest());
      return null;
    },
  };
}

const stopped = () => new ValueError("open: opening was stopped, and nothing has changed");

function nameOf(source: Parameters<OpenCalls["openModel"]>[0]): string {
  if (source.kind === "starter") return source.id;
  if (source.kind === "address") return new URL(source.address).pathname.split("/").at(-1) || source.address;
  return source.files.map(({ name }) => name).join(" and ");
}
