import type { Answers, TalkCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";

export function talkAnswers(lab: Lab): Answers<TalkCalls> {
  let answering = new AbortController();
  const begin = (): AbortSignal => {
    answering = new AbortController();
    return answering.signal;
  };
  return {
    async generate(options) {
      const voice = lab.needVoice();
      const signal = begin();
      return lab.turns.interrupt(() => voice.write(options, (text) => lab.emit({ kind: "piece", text }), signal));
    },
    async stopGenerating() {
      answering.abort();
      return null;
    },
    async keepState() {
      const voice = lab.needVoice();
      return lab.turns.interrupt(() => voice.keep());
    },
    async branch(options) {
      const voice = lab.needVoice();
      const signal = begin();
      return lab.turns.interrupt(() =>
        voice.branch(options, (branch, text) => lab.emit({ kind: "branched", branch, text }), signal),
      );
    },
  };
}
