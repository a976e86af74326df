import { effect, signal } from "@preact/signals-core";
import { likelyAt, type Sampling, visible } from "../likely.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";

const ROWS = 8;

const percent = (share: number): string => (share > 0 && share < 0.001 ? "<0.1%" : `${(100 * share).toFixed(1)}%`);

/**
 * What else was likely at a token of the answer: under the pointer, or where the arrow keys are. Each bar shows the share
 * that the model gave it, and inside that what the sampling settings draw from, now.
 * @param sampling reads the settings; it may read signals
 */
export function mountLikely(state: State, sampling: () => Sampling): void {
  const answer = byId("answer");
  const title = byId("likely-title");
  const list = byId("likely");
  const rows = Array.from({ length: ROWS }, makeRow);
  list.replaceChildren(...rows.map(({ item }) => item));
  const help = title.textContent;
  /** Which written token is looked at. */
  const at = signal<number | null>(null);
  let tokens: readonly HTMLElement[] = [];

  // The finished answer becomes one element a token.
  effect(() => {
    const choices = state.talk.value.report?.choices;
    at.value = null;
    tokens = [];
    const text = answer.lastChild;
    if (!choices || !(text instanceof Text)) return;
    tokens = choices.written.map((piece) => make("span", "token", piece));
    text.replaceWith(...tokens);
  });

  answer.addEventListener("pointerover", ({ target }) => {
    const index = tokens.indexOf(target as HTMLElement);
    if (index >= 0) at.value = index;
  });
  answer.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -tokens.length, End: tokens.length }[event.key];
    if (step === undefined || tokens.length === 0) return;
    event.preventDefault();
    const from = at.value ?? (step > 0 ? -1 : tokens.length);
    at.value = Math.min(Math.max(from + step, 0), tokens.length - 1);
    tokens[at.value]?.scrollIntoView({ block: "nearest" });
  });

  let marked: HTMLElement | undefined;
  effect(() => {
    const choices = state.talk.value.report?.choices;
    const index = at.value;
    marked?.classList.remove("looked-at");
    marked = index === null ? undefined : tokens[index];
    marked?.classList.add("looked-at");
    if (!choices || index === null) {
      title.textContent = help;
      for (const { item } of rows) item.dataset.empty = "";
      return;
    }
    const likely = likelyAt(choices, index, sampling(), ROWS);
    title.textContent = `“${visible(choices.written[index] ?? "")}” came with ${percent(choices.own[index] as number)}`;
    rows.forEach((row, i) => {
      const one = likely[i];
      row.item.dataset.empty = one ? "no" : "";
      if (!one) return;
      row.item.dataset.came = String(one.came);
      row.name.textContent = visible(one.text);
      row.share.style.width = `${100 * one.share}%`;
      row.drawn.style.width = `${100 * one.drawn}%`;
      row.figure.textContent = `${percent(one.share)}, drawn ${percent(one.drawn)}`;
    });
  });
}

function makeRow() {
  const item = make("li");
  item.dataset.empty = "";
  const name = make("span", "name");
  const bar = make("span", "bar");
  const share = make("span", "share");
  const drawn = make("span", "drawn");
  const figure = make("span", "figure");
  bar.append(share, drawn);
  item.append(name, bar, figure);
  return { item, name, share, drawn, figure };
}
