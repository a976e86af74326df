import type { EventHandlers, GenerateOptions, TalkEvent } from "../protocol.ts";
import type { Context } from "./context.ts";

export interface TalkActions {
  generate(options: GenerateOptions): Promise<void>;
  stopGenerating(): Promise<void>;
}

export function talkActions({ state, client, attempt, calm }: Context): TalkActions {
  return {
    async generate(options) {
      state.answer.value = { prompt: options.prompt, text: "" };
      state.talk.value = { ...state.talk.value, busy: true };
      const report = await attempt(() => client.call("generate", options));
      state.talk.value = { busy: false, report: report ?? state.talk.value.report };
      if (report && state.status.value.tone === "trouble") calm("The answer is complete.");
    },
    async stopGenerating() {
      await attempt(() => client.call("stopGenerating"));
    },
  };
}

export function talkEvents({ state: { answer } }: Context): EventHandlers<TalkEvent> {
  return {
    piece({ text }) {
      if (answer.value) answer.value = { ...answer.value, text: answer.value.text + text };
    },
  };
}
