import type { Answers, TalkCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";

export function talkAnswers(lab: Lab): Answers<TalkCalls> {
  let answering = new AbortController();
  return {
    async generate(options) {
      const run = lab.needRun();
      answering = new AbortController();
      const { signal } = answering;
      return lab.turns.interrupt(() => run.voice.write(options, (text) => lab.emit({ kind: "piece", text }), signal));
    },
    async stopGenerating() {
      answering.abort();
      return null;
    },
  };
}
