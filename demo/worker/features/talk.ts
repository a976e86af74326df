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
      const signal = begin();
      const onPiece = (text: string, position: number) => lab.emit({ kind: "piece", text, position });
      return lab.turns.interrupt(async () => lab.needVoice().write(options, onPiece, signal));
    },
    async stopGenerating() {
      answering.abort();
      return null;
    },
    async keepState() {
      return lab.turns.interrupt(async () => {
        const voice = lab.needVoice();
        await voice.keep();
        if (voice === lab.run?.voice) await lab.training.keep(lab.run);
        return voice.keptState as StateReport;
      });
    },
    async branch(options) {
      const signal = begin();
      const onPiece = (branch: 0 | 1, text: string) => lab.emit({ kind: "branched", branch, text });
      await lab.turns.interrupt(async () => lab.needVoice().branch(options, onPiece, signal));
      return null;
    },
  };
}
