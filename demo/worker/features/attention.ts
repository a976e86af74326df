import type { Answers, AttentionCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";

export function attentionAnswers(lab: Lab): Answers<AttentionCalls> {
  let measuring = new AbortController();
  return {
    async measureAttention() {
      const device = lab.needDevice();
      const { measureAttention } = await import("../attention.ts");
      measuring = new AbortController();
      const { signal } = measuring;
      return lab.turns.interrupt(async () => {
        for await (const point of measureAttention(device, signal)) lab.emit({ kind: "attentionMeasured", point });
        return null;
      });
    },
    async stopAttention() {
      measuring.abort();
      return null;
    },
  };
}
