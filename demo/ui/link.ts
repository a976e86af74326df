import { effect } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import { settingsToHash } from "../link.ts";
import type { State } from "../state.ts";
import { byId } from "./dom.ts";

/** Keeps the settings in the page's address, from where they can be shared. */
export function mountLink(state: State, actions: Actions): void {
  const share = byId("share", HTMLButtonElement);
  share.addEventListener("click", () => void actions.share());
  addEventListener("hashchange", () => actions.follow());
  effect(() => {
    const settings = state.settings.value;
    share.disabled = settings === null;
    if (settings) history.replaceState(null, "", settingsToHash(settings));
  });
}
