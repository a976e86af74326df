import { effect } from "@preact/signals-core";
import type { State } from "../state.ts";
import { byId } from "./dom.ts";

/** Follows the system's colours until the visitor chooses. The head of index.html sets them before the first paint. */
export function mountTheme({ theme }: State): void {
  const button = byId("theme", HTMLButtonElement);
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", () => {
    if (!remembered()) theme.value = system.matches ? "dark" : "light";
  });
  button.addEventListener("click", () => {
    theme.value = theme.value === "dark" ? "light" : "dark";
    remember(theme.value);
  });
  effect(() => {
    document.documentElement.dataset.theme = theme.value;
    button.textContent = theme.value === "dark" ? "Light" : "Dark";
    button.ariaLabel = `${button.textContent} colours`;
  });
}

/** What the visitor chose on an earlier visit; browsers may forbid storage. */
function remembered(): string | null {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}

function remember(theme: string): void {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // The choice then holds for this visit.
  }
}

/** The present value of a colour of tokens.css, for canvases. */
export function colour(token: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(token).trim();
}

const COLOURED = ["rnn", "gru", "lstm", "transformer", "rwkv4", "rwkv5", "rwkv6", "rwkv7", "retnet", "mamba"];

/** The token of an architecture's colour; forms of one version share it, as in `rwkv5.1` and `rwkv5.2`. */
export function modelToken(model: string): string {
  const architecture = model.split(".")[0] as string;
  return COLOURED.includes(architecture) ? `--${architecture}` : "--other";
}
