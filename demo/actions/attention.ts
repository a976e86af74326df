import type { AttentionEvent, EventHandlers } from "../protocol.ts";
import type { Context } from "./context.ts";

export interface AttentionActions {
  measureAttention(): Promise<void>;
  stopAttention(): Promise<void>;
}

export function attentionActions({ state: { attention }, client, attempt }: Context): AttentionActions {
  return {
    async measureAttention() {
      attention.value = { busy: true, points: [] };
      await attempt(() => client.call("measureAttention"));
      attention.value = { ...attention.value, busy: false };
    },
    async stopAttention() {
      await attempt(() => client.call("stopAttention"));
    },
  };
}

export function attentionEvents({ state: { attention } }: Context): EventHandlers<AttentionEvent> {
  return {
    attentionMeasured({ point }) {
      attention.value = { ...attention.value, points: [...attention.value.points, point] };
    },
  };
}
