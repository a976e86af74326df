import { settingsFromHash } from "../link.ts";
import type { Context } from "./context.ts";
import type { TextActions } from "./texts.ts";

export interface LinkActions {
  /** Takes up the settings that the address now holds. */
  follow(): void;
  /** Copies the address, which holds the settings. */
  share(): Promise<void>;
}

export function linkActions({ state, calm }: Context, { takeUp }: TextActions): LinkActions {
  return {
    follow() {
      const said = settingsFromHash(location.hash, state.catalogue.value);
      if (!state.settings.value || Object.keys(said).length === 0) return;
      takeUp(said);
      calm("The settings are those of the link. Press Train on this text.");
    },
    async share() {
      const own = state.settings.value?.text === "own" ? " Your own text is not part of it." : "";
      await navigator.clipboard.writeText(location.href).then(
        () => calm(`The link to these settings is copied.${own}`),
        () => calm(`The browser does not let this page copy. The page's address is the link.${own}`),
      );
    },
  };
}
