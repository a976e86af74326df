import type { Answers, CheckCalls } from "../../protocol.ts";
import type { Lab } from "../lab.ts";
import { deviceName } from "../name.ts";

export function checkAnswers(lab: Lab): Answers<CheckCalls> {
  let checking = new AbortController();
  return {
    async checkGpu() {
      const device = lab.needDevice();
      // Most visitors never check: the references load when they are wanted.
      const { checkTable, selfCheck } = await import("../../../src/check/selfCheck.ts");
      checking = new AbortController();
      const { signal } = checking;
      return lab.turns.interrupt(async () => {
        const results = await selfCheck(device, {
          signal,
          onResult: (result, done, total) => lab.emit({ kind: "checked", result, done, total }),
        });
        return { results, table: checkTable(results, deviceName(device.info)) };
      });
    },
    async stopCheck() {
      checking.abort();
      return null;
    },
  };
}
