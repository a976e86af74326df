import type { Answers, StateReport, TalkCalls } from "../../protocol.ts";
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
      return lab.turns.interrupt(async () => {
        await voice.keep();
        if (voice === lab.run?.voice) await lab.training.keep(lab.run);
        return voice.keptState as StateReport;
      });
    },
    async branch(options) {
      const voice = lab.needVoice();
      const signal = begin();
      await lab.turns.interrupt(() =>
        voice.branch(options, (branch, text) => lab.emit({ kind: "branched", branch, text }), signal),
      );
      return null;
    },
  };
}
