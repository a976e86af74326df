import type { EventHandlers, GenerateOptions, TalkEvent } from "../protocol.ts";
import { bytes, count } from "../ui/format.ts";
import { unitOf } from "../ui/title.ts";
import type { Context } from "./context.ts";

export interface TalkActions {
  generate(options: GenerateOptions): Promise<void>;
  stopGenerating(): Promise<void>;
  keepState(): Promise<void>;
  branch(options: GenerateOptions): Promise<void>;
}

export function talkActions({ state, client, attempt, calm }: Context): TalkActions {
  const { talk, branches } = state;
  /** One request at a time may stream. */
  async function busily<T>(work: () => Promise<T>): Promise<T | null> {
    talk.value = { ...talk.value, busy: true };
    const result = await attempt(work);
    talk.value = { ...talk.value, busy: false };
    if (result && state.status.value.tone === "trouble") calm("The answer is complete.");
    return result;
  }
  return {
    async generate(options) {
      state.answer.value = { prompt: options.prompt, text: "", position: 0 };
      branches.value = null;
      talk.value = { ...talk.value, report: null, held: false };
      const report = await busily(() => client.call("generate", options));
      talk.value = { ...talk.value, report, held: report !== null };
    },
    async stopGenerating() {
      await attempt(() => client.call("stopGenerating"));
    },
    async keepState() {
      const kept = await attempt(() => client.call("keepState"));
      if (!kept) return;
      state.keepState(kept);
      const after = `${count(kept.position)} ${unitOf(state)}`;
      calm(`The state after ${after} is kept, ${bytes(kept.bytes)}. Branch goes on from it.`);
    },
    async branch(options) {
      branches.value = { seeds: [options.seed, options.seed + 1], texts: ["", ""] };
      const done = await busily(async () => [await client.call("branch", options)]);
      if (!done) branches.value = null;
    },
  };
}

export function talkEvents({ state: { answer, branches } }: Context): EventHandlers<TalkEvent> {
  return {
    piece({ text, position }) {
      if (answer.value) answer.value = { ...answer.value, text: answer.value.text + text, position };
    },
    branched({ branch, text }) {
      if (!branches.value) return;
      const [first, second] = branches.value.texts;
      branches.value = { ...branches.value, texts: branch === 0 ? [first + text, second] : [first, second + text] };
    },
  };
}
