import { batch } from "@preact/signals-core";
import type { Context } from "./context.ts";

export interface LookActions {
  /** Shows what the model does with a text. */
  look(text: string): Promise<void>;
}

export function lookActions({ state, client, attempt, calm }: Context): LookActions {
  return {
    async look(text) {
      const look = await attempt(() => client.call("look", text));
      if (!look) return;
      batch(() => {
        state.look.value = look;
        if (state.status.value.tone === "trouble") calm("The picture is drawn.");
      });
    },
  };
}
