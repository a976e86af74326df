import type { CheckEvent, EventHandlers } from "../protocol.ts";
import type { Context } from "./context.ts";

export interface CheckActions {
  checkGpu(): Promise<void>;
  stopCheck(): Promise<void>;
  /** Puts the table of the last check on the clipboard. */
  copyCheck(): Promise<void>;
}

export function checkActions({ state, client, attempt, calm, fail }: Context): CheckActions {
  const { check } = state;
  return {
    async checkGpu() {
      check.value = { busy: true, results: [], total: 0, table: null };
      const report = await attempt(() => client.call("checkGpu"));
      check.value = { ...check.value, busy: false, ...report };
    },
    async stopCheck() {
      await attempt(() => client.call("stopCheck"));
    },
    async copyCheck() {
      try {
        await navigator.clipboard.writeText(check.value.table ?? "");
        calm("The table is on the clipboard, as Markdown.");
      } catch {
        const sentence =
          "The browser does not let this page write to the clipboard. Open What was checked, and copy the table from there.";
        fail({ kind: "refused", sentence });
      }
    },
  };
}

export function checkEvents({ state: { check } }: Context): EventHandlers<CheckEvent> {
  return {
    checked({ result, total }) {
      check.value = { ...check.value, results: [...check.value.results, result], total };
    },
  };
}
