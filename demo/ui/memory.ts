import { effect, signal } from "@preact/signals-core";
import type { Memory } from "../protocol.ts";
import type { State } from "../state.ts";
import { align, axis, faint, mountChart, type Picture } from "./chart.ts";
import { byId } from "./dom.ts";
import { bytes, count } from "./format.ts";
import { colour, modelToken } from "./theme.ts";

/** Tokens that the picture shows at least. */
const LEAST = 128;

/** What the model remembers of the conversation, in bytes, as it grows: level for a state, rising for a cache. */
export function mountMemory(state: State): void {
  const place = byId("talk-memory");
  const told = byId("talk-grows");
  /** The length of text at which the picture is read; null for that of the conversation. */
  const pointed = signal<number | null>(null);

  /** Whom the visitor talks to. */
  const speaker = (): (Memory & { readonly model: string }) | null => {
    if (state.guest.value) return state.guest.value;
    const run = state.current.value;
    if (!run) return null;
    const { model, context } = run.settings.value;
    const windowed = state.catalogue.value.models.find(({ id }) => id === model)?.windowed ?? false;
    const window = windowed ? context : null;
    return { model, stateBytes: run.stateBytes, window, forgets: windowed, unit: "characters" };
  };
  /** Bytes that hold a text of so many tokens. */
  const shape = () => {
    const now = speaker();
    if (!now) return null;
    const { stateBytes, window } = now;
    const of = (length: number) => (window === null ? stateBytes : stateBytes * Math.min(1, length / window));
    return { ...now, of };
  };
  const length = () => state.answer.value?.position ?? 0;

  const picture = (): Picture => {
    const now = shape();
    const most = Math.max(LEAST, 2 * (now?.window ?? 0), length());
    const x = Array.from({ length: 65 }, (_, i) => Math.round((most * i) / 64));
    const line = now ? colour(modelToken(now.model)) : colour("--ink-3");
    const full = now?.of(most) ?? 1;
    return {
      shape: `${now?.model} ${most}`,
      data: align([
        { x, y: x.map((n) => now?.of(n) ?? null) },
        { x, y: x.map((n) => (now && n <= length() ? now.of(n) : null)) },
      ]),
      options: {
        series: [
          {},
          { stroke: faint(line, 45), width: 1, points: { show: false } },
          { stroke: line, width: 2.5, points: { show: false } },
        ],
        padding: [6, 8, 0, 0],
        scales: { x: { time: false, range: [0, most] }, y: { range: [0, 1.15 * full] } },
        axes: [
          axis({ size: 22, space: 60, values: (_, ticks) => ticks.map((tick) => count(tick)) }),
          axis({ size: 54, space: 24, values: (_, ticks) => ticks.map((tick) => (now ? bytes(tick) : "")) }),
        ],
      },
    };
  };
  mountChart(state, place, picture, {
    at: () => pointed.value,
    point(to) {
      pointed.value = to;
    },
    said: () => told.textContent,
  });

  effect(() => {
    const now = shape();
    if (!now) return;
    const at = Math.round(pointed.value ?? length());
    const after = `After ${count(at)} ${now.unit}`;
    const here = bytes(now.of(at));
    const end = now.forgets ? "then forgets the oldest" : "where the text has to end";
    told.textContent = now.window
      ? `${after} the cache holds ${here}; it grows with each up to ${count(now.window)}, ${end}.`
      : `${after} the state is ${here}, as after any other number.`;
    place.ariaLabel = told.textContent;
  });
}
