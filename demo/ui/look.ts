import { effect, signal } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import { visible } from "../likely.ts";
import { paint, rgbOf } from "../picture.ts";
import type { LookPart } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { count } from "./format.ts";
import { colour, modelToken } from "./theme.ts";

/** Characters of an answer that are proposed. */
const SHOWN = 40;

interface Place {
  readonly row: number;
  readonly token: number;
}

/** What a model does with a text as a picture: a column a character, a row an attending character or a unit. */
export function mountLook(state: State, actions: Actions): void {
  const form = byId("look", HTMLFormElement);
  const text = byId("look-text", HTMLInputElement);
  const start = byId("look-start", HTMLButtonElement);
  const choice = byId("look-part", HTMLSelectElement);
  const picture = byId("look-picture", HTMLCanvasElement);
  const labels = byId("look-tokens");
  const read = byId("look-read");
  const prompt = byId("prompt", HTMLTextAreaElement);
  const chosen = signal(0);
  let written = false;
  const at = signal<Place | null>(null);
  const part = () => state.look.value?.parts[chosen.value];

  text.addEventListener("input", () => {
    written = true;
  });
  effect(() => {
    // The model surely has the characters of what it wrote.
    const { value } = state.answer;
    void state.current.value;
    void state.settings.value;
    if (!written) text.value = value ? value.prompt + value.text.slice(0, SHOWN) : prompt.value;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!start.disabled) void actions.look(text.value);
  });
  choice.addEventListener("change", () => {
    chosen.value = choice.selectedIndex;
  });
  effect(() => {
    start.disabled = !state.canTalk.value;
  });

  effect(() => {
    const look = state.look.value;
    if (!look) return;
    const same = choice.options.length === look.parts.length;
    choice.replaceChildren(...look.parts.map(({ name }) => make("option", "", name)));
    choice.disabled = false;
    choice.selectedIndex = same ? chosen.peek() : 0;
    chosen.value = choice.selectedIndex;
    at.value = null;
    labels.replaceChildren(...look.tokens.map((token) => make("span", "", visible(token))));
  });

  effect(() => {
    void state.theme.value;
    const look = state.look.value;
    const now = part();
    if (!look || !now) return;
    const palette = {
      zero: rgbOf(colour("--sunk")),
      high: rgbOf(colour(modelToken(look.model))),
      low: rgbOf(colour("--ink")),
    };
    picture.width = look.tokens.length;
    picture.height = now.rows;
    const pixels = paint(now, look.tokens.length, palette);
    picture.getContext("2d")?.putImageData(new ImageData(pixels, look.tokens.length, now.rows), 0, 0);
    picture.ariaLabel = `${now.name}, a column for each of ${look.tokens.length} characters, ${count(now.rows)} rows; the arrow keys read values`;
  });

  picture.addEventListener("pointermove", ({ offsetX, offsetY }) => {
    at.value = placeAt(offsetX / picture.clientWidth, offsetY / picture.clientHeight, state, part());
  });
  picture.addEventListener("pointerleave", () => {
    at.value = null;
  });
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const now = part();
    const tokens = state.look.value?.tokens.length ?? 0;
    if (!step || !now) return;
    event.preventDefault();
    const { row, token } = at.value ?? { row: 0, token: -1 };
    const within = (value: number, size: number) => Math.min(Math.max(value, 0), size - 1);
    at.value = { row: within(row + (step[0] as number), now.rows), token: within(token + (step[1] as number), tokens) };
  });

  let marked: Element[] = [];
  effect(() => {
    const look = state.look.value;
    const now = part();
    const place = at.value;
    for (const label of marked) label.classList.remove("looked-at");
    marked = [];
    if (!look || !now || !place) {
      read.textContent = look ? sentenceOf(now) : "\u00a0";
      return;
    }
    const value = now.values[place.row * look.tokens.length + place.token] as number;
    const shown = (index: number) => `“${visible(look.tokens[index] ?? "")}”`;
    const indices = now.kind === "attention" ? [place.row, place.token] : [place.token];
    marked = indices.flatMap((index) => labels.children[index] ?? []);
    for (const label of marked) label.classList.add("looked-at");
    read.textContent =
      now.kind === "attention"
        ? `${shown(place.row)} gives ${shown(place.token)} ${(100 * value).toFixed(1)}% of its attention`
        : `After ${shown(place.token)}, unit ${place.row + 1} is ${value.toFixed(3)}`;
  });
}

const sentenceOf = (part: LookPart | undefined): string =>
  part?.kind === "attention"
    ? "Rows attend to columns; the brighter, the more. Above the diagonal lies what is still to come."
    : "Each row is a unit, each column the state after a character; one colour is positive, the other negative.";

function placeAt(x: number, y: number, state: State, part: LookPart | undefined): Place | null {
  const tokens = state.look.value?.tokens.length ?? 0;
  if (!part || x < 0 || x >= 1 || y < 0 || y >= 1) return null;
  return { row: Math.floor(y * part.rows), token: Math.floor(x * tokens) };
}
