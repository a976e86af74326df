import { effect, signal } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import { visible } from "../likely.ts";
import { type Palette, paint, rgbOf, scaleOf, tint, toneOf } from "../picture.ts";
import type { LookPart } from "../protocol.ts";
import type { State } from "../state.ts";
import { byId, make } from "./dom.ts";
import { count, percent } from "./format.ts";
import { colour } from "./theme.ts";

/** Characters of an answer that are proposed. */
const SHOWN = 40;
/** Lines of a sample among which one is proposed. */
const LINES = 4;
/** Tones of the scale under the picture: of a state, and of attention. */
const TONES = { state: [-1, -0.5, 0, 0.5, 1], attention: [0, 0.25, 0.5, 0.75, 1] } as const;

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
  const prompt = byId("prompt", HTMLTextAreaElement);
  const chosen = signal(0);
  const at = signal<Place | null>(null);
  const part = () => state.look.value?.parts[chosen.value];
  let written = false;

  text.addEventListener("input", () => {
    written = true;
  });
  effect(() => {
    // The model surely has the characters of what it wrote.
    const { value } = state.answer;
    const run = state.current.value;
    void state.settings.value;
    const sample = state.guest.value || state.phase.value === "training" ? "" : (run?.samples.value.at(-1)?.text ?? "");
    if (!written) text.value = value ? value.prompt + value.text.slice(0, SHOWN) : longestLine(sample) || prompt.value;
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
    const names = look?.parts.map(({ name }) => name) ?? ["Nothing yet"];
    const same = choice.options.length === names.length;
    choice.replaceChildren(...names.map((name) => make("option", "", name)));
    choice.disabled = look === null;
    choice.selectedIndex = same ? chosen.peek() : 0;
    chosen.value = choice.selectedIndex;
    at.value = null;
  });

  mountPicture(state, picture, part);
  mountPlace(state, part, () => at.value);

  const point = ({ offsetX, offsetY }: PointerEvent) => {
    at.value = placeAt(offsetX / picture.clientWidth, offsetY / picture.clientHeight, state, part());
  };
  picture.addEventListener("pointerdown", point);
  picture.addEventListener("pointermove", point);
  picture.addEventListener("pointerleave", ({ pointerType }) => {
    // A finger that is lifted leaves too, and its owner wants to read.
    if (pointerType !== "touch") at.value = null;
  });
  picture.addEventListener("blur", () => {
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
    const to = (value: number, index: 0 | 1, size: number) => within(value + (step[index] as number), size);
    at.value = { row: to(row, 0, now.rows.length), token: to(token, 1, tokens) };
    // A pointer that passes over the picture reads nothing out.
    byId("chart-said").textContent = byId("look-read").textContent;
  });
}

/** The longest of a text's first lines, which a field of one line can hold. */
const longestLine = (text: string): string =>
  text
    .split("\n", LINES)
    .map((line) => line.replace(/^[^\p{L}\p{N}]+/u, ""))
    .reduce((longest, line) => (line.length > longest.length ? line : longest), "")
    .slice(0, SHOWN);

/** With a minus as wide as a digit. */
const signed = (value: number, digits: number): string => value.toFixed(digits).replace("-", "−");

/** Colours of the present theme: one for each sign, the same for every model, as some models' own colours are those of text. */
const palette = (): Palette => ({
  zero: rgbOf(colour("--sunk")),
  high: rgbOf(colour("--positive")),
  low: rgbOf(colour("--negative")),
});

const css = (tone: number, colours: Palette): string => `rgb(${tint(tone, colours).join(" ")})`;

/** The picture itself, the characters beside and below it, and what its colours mean. */
function mountPicture(state: State, picture: HTMLCanvasElement, part: () => LookPart | undefined): void {
  const [labels, beside] = [byId("look-tokens"), byId("look-rows")];
  const [low, ramp, high] = [byId("look-low"), byId("look-ramp"), byId("look-high")];
  effect(() => {
    byId("look-empty").hidden = state.look.value !== null;
    const tokens = state.look.value?.tokens ?? [];
    labels.replaceChildren(...tokens.map((token) => make("span", "", visible(token))));
  });
  effect(() => {
    void state.theme.value;
    const look = state.look.value;
    const now = part();
    if (!look || !now) {
      picture.width = picture.height = 1; // which empties it
      picture.ariaLabel = "No picture yet";
      for (const place of [beside, low, high, ramp]) place.replaceChildren();
      return;
    }
    const colours = palette();
    const [width, height] = [look.tokens.length, now.rows.length];
    picture.width = width;
    picture.height = height;
    picture.getContext("2d")?.putImageData(new ImageData(paint(now, colours), width, height), 0, 0);
    picture.ariaLabel = `${now.name}, a column for each of ${width} characters, ${count(height)} rows; the arrow keys read values`;
    beside.style.setProperty("--rows", String(height));
    const named = now.kind === "attention" ? now.rows : [];
    beside.replaceChildren(...named.map((row) => make("span", "", visible(look.tokens[row] ?? ""))));
    const most = scaleOf(now);
    low.textContent = now.kind === "attention" ? "0%" : `≤ ${signed(-most, 2)}`;
    high.textContent = `≥ ${now.kind === "attention" ? percent(most) : signed(most, 2)}`;
    ramp.replaceChildren(
      ...TONES[now.kind].map((tone) => {
        const step = make("span");
        step.style.background = css(tone, colours);
        return step;
      }),
    );
  });
}

/** The place that is pointed at: in words, as lines over the picture, and its whole row as colours of the text. */
function mountPlace(state: State, part: () => LookPart | undefined, at: () => Place | null): void {
  const [labels, beside, read] = [byId("look-tokens"), byId("look-rows"), byId("look-read")];
  const lines = { row: byId("look-row"), column: byId("look-column") };
  let marked: Element[] = [];
  effect(() => {
    const look = state.look.value;
    const now = part();
    const place = at();
    void state.theme.value;
    const tokens = look?.tokens.length ?? 0;
    const row = now && place ? now.values.subarray(place.row * tokens, (place.row + 1) * tokens) : null;
    for (const label of marked) label.classList.remove("looked-at");
    marked = place ? [labels.children[place.token], beside.children[place.row]].flatMap((label) => label ?? []) : [];
    for (const label of marked) label.classList.add("looked-at");
    lines.row.hidden = lines.column.hidden = !row;
    const colours = palette();
    const scale = row && now ? scaleOf(now) : 1;
    for (const [i, label] of [...labels.children].entries()) {
      const tone = row && now ? css(toneOf(row[i] ?? 0, scale), colours) : "transparent";
      (label as HTMLElement).style.setProperty("--tone", tone);
    }
    if (!look || !now || !place || !row) {
      read.textContent = look && now ? sentenceOf(now, look.cut ? tokens : null) : "\u00a0";
      return;
    }
    const share = (index: number, size: number) => `${(100 * index) / size}%`;
    Object.assign(lines.row.style, {
      ...{ left: "0", right: "0", top: share(place.row, now.rows.length), height: share(1, now.rows.length) },
    });
    Object.assign(lines.column.style, {
      ...{ top: "0", bottom: "0", left: share(place.token, tokens), width: share(1, tokens) },
    });
    const value = row[place.token] as number;
    const shown = (index: number) => `“${visible(look.tokens[index] ?? "")}”`;
    read.textContent =
      now.kind === "attention"
        ? `${shown(place.row)} gives ${shown(place.token)} ${(100 * value).toFixed(1)}% of its attention`
        : `After ${shown(place.token)}, unit ${(now.rows[place.row] as number) + 1} is ${signed(value, 3)}`;
  });
}

/** What the picture is, and how to read it. */
function sentenceOf({ kind, rows, of }: LookPart, cut: number | null): string {
  const told =
    kind === "attention"
      ? "Each row is a character, and spreads its attention over the columns: itself and those before."
      : `Each row is a unit, like beside like${rows.length < of ? ` (the ${rows.length} of ${count(of)} that change most)` : ""}; each column is the state after a character.`;
  const limit = cut === null ? "" : ` The first ${cut} characters are shown.`;
  return `${told} Point at a row to see it over the text.${limit}`;
}

function placeAt(x: number, y: number, state: State, part: LookPart | undefined): Place | null {
  const tokens = state.look.value?.tokens.length ?? 0;
  if (!part || x < 0 || x >= 1 || y < 0 || y >= 1) return null;
  return { row: Math.floor(y * part.rows.length), token: Math.floor(x * tokens) };
}
