import { batch } from "@preact/signals-core";
import type { Settings, TextId } from "../protocol.ts";
import type { Context } from "./context.ts";
import type { SettingsActions } from "./settings.ts";

export interface TextActions {
  readText(id: TextId, own?: string): Promise<void>;
  /** Takes up settings that come from elsewhere, and their text. */
  takeUp(settings: Partial<Settings>): void;
  /** Takes a text file as the text to learn. */
  offerText(file: File): Promise<void>;
}

export function textActions(
  { state, client, attempt, calm, fail }: Context,
  { plan, change }: SettingsActions,
): TextActions {
  async function readText(id: TextId, own?: string): Promise<void> {
    if (id === "own" && !own?.trim()) {
      batch(() => {
        state.text.value = null;
        state.plan.value = null;
      });
      return;
    }
    const report = await attempt(() => client.call("readText", id, own));
    if (state.settings.value && state.settings.value.text !== id) return;
    state.text.value = report;
    if (!report) {
      state.plan.value = null;
      return;
    }
    if (state.device.value.phase === "ready" && state.status.value.tone === "trouble") calm("The text is ready.");
    await plan();
  }

  return {
    readText,
    takeUp(settings) {
      const before = state.settings.value?.text;
      change(settings);
      if (settings.text && settings.text !== before) void readText(settings.text);
    },
    async offerText(file) {
      const text = await attempt(() => file.text());
      if (text === null || !state.settings.value) return;
      if (!readable(text)) {
        const sentence = `${file.name} is no text in UTF-8, so there is nothing to learn from it. The text stays as it was; choose a plain text file.`;
        fail({ kind: "refused", sentence });
        return;
      }
      batch(() => {
        state.ownText.value = { text, from: file.name };
        state.settings.value = { ...(state.settings.value as Settings), text: "own" };
      });
      await readText("own", text);
      if (state.text.value) calm(`Took ${file.name} as the text. Press Train on this text.`);
    },
  };
}

/** Characters from whose start a file is judged. */
const JUDGED = 65_536;

/** Whether a file was text: browsers decode anything, and put a sign where no character was. */
function readable(text: string): boolean {
  const start = text.slice(0, JUDGED);
  return !start.includes("\0") && start.split("\ufffd").length - 1 <= start.length / 100;
}
