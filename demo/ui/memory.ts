import { effect } from "@preact/signals-core";
import type { State } from "../state.ts";
import { align, axis, faint, mountChart } from "./chart.ts";
import { byId } from "./dom.ts";
import { bytes, count } from "./format.ts";
import { colour, modelToken } from "./theme.ts";

/** Characters that the picture shows at least. */
const LEAST = 128;

/** What the model remembers of the conversation, in bytes, as it grows: level for a state, rising for a cache. */
export function mountMemory(state: State): void {
  const place = byId("talk-memory");
  const told = byId("talk-grows");

  /** Whom the visitor talks to: its bytes, and the tokens that fill them if it sees only so far back. */
  const speaker = () => {
    const guest = state.guest.value;
    if (guest) return { ...guest, window: state.talk.value.report?.window ?? null };
    const run = state.current.value;
    if (!run) return null;
    const { model, context } = run.settings.value;
    const windowed = state.catalogue.value.models.find(({ id }) => id === model)?.windowed ?? false;
    return { model, stateBytes: run.stateBytes, window: windowed ? context : null };
  };
  /** Bytes that hold a text of so many characters. */
  const shape = () => {
    const now = speaker();
    if (!now) return null;
    const { model, stateBytes, window } = now;
    const of = (length: number) => (window === null ? stateBytes : stateBytes * Math.min(1, length / window));
    return { model, window, of };
  };
  const length = () => {
    const { value } = state.answer;
    return value ? value.prompt.length + value.text.length : 0;
  };

  mountChart(state, place, () => {
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
        legend: { show: false },
        cursor: { show: false },
        padding: [6, 8, 0, 0],
        scales: { x: { time: false, range: [0, most] }, y: { range: [0, 1.15 * full] } },
        axes: [
          axis({ size: 22, space: 60, values: (_, ticks) => ticks.map((tick) => count(tick)) }),
          axis({ size: 54, space: 24, values: (_, ticks) => ticks.map((tick) => (now ? bytes(tick) : "")) }),
        ],
      },
    };
  });

  effect(() => {
    const now = shape();
    if (!now) return;
    const here = bytes(now.of(length()));
    told.textContent = now.window
      ? `After ${count(length())} characters the cache holds ${here}; it grows with each up to ${count(now.window)}, then forgets the oldest.`
      : `After ${count(length())} characters the state is ${here}, as after any other number.`;
    place.ariaLabel = told.textContent;
  });
}
