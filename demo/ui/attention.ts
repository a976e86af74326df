import { effect, signal } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import { nearest } from "../nearest.ts";
import type { AttentionCost, AttentionPoint } from "../protocol.ts";
import type { State } from "../state.ts";
import { axis, mountChart, type Picture, powers } from "./chart.ts";
import { byId } from "./dom.ts";
import { bytes, count, milliseconds } from "./format.ts";
import { colour } from "./theme.ts";

interface Measure {
  readonly id: string;
  readonly label: string;
  of(cost: AttentionCost): number;
  format(value: number): string;
  readonly empty: readonly [low: number, high: number];
  /** Ticks are at its powers. */
  readonly base: number;
}

const MEASURES: readonly Measure[] = [
  {
    id: "attention-memory",
    label: "Memory against characters",
    of: (cost) => cost.bytes,
    format: bytes,
    empty: [2 ** 14, 2 ** 24],
    base: 4,
  },
  {
    id: "attention-time",
    label: "Time against characters",
    of: (cost) => cost.milliseconds,
    format: milliseconds,
    empty: [1, 1000],
    base: 10,
  },
];

/** Attention with stored scores beside attention in tiles, on the visitor's own device. */
export function mountAttention(state: State, actions: Actions): void {
  const start = byId("attention-start", HTMLButtonElement);
  const verdict = byId("attention-verdict");

  start.addEventListener("click", () => {
    void (state.attention.peek().busy ? actions.stopAttention() : actions.measureAttention());
  });
  effect(() => {
    const { busy, points } = state.attention.value;
    start.disabled = state.device.value.phase !== "ready";
    start.textContent = busy ? "Stop" : "Measure";
    const last = points.at(-1);
    verdict.textContent = last ? sentenceOf(last) : busy ? "The kernels compile." : "\u00a0";
  });
  /** Both charts are read at the same length of text. */
  const pointed = signal<number | null>(null);
  for (const measure of MEASURES) {
    const place = byId(measure.id);
    const read = byId(`${measure.id}-read`);
    const { of, format, label } = measure;
    const costs = ({ tokens, stored, tiled }: AttentionPoint) =>
      `at ${count(tokens)}, ${format(of(stored))} with stored scores, ${format(of(tiled))} in tiles`;
    const reading = () => {
      const { points } = state.attention.value;
      const at = pointed.value;
      return at === null ? points.at(-1) : nearest(points, ({ tokens }) => tokens, at);
    };
    const said = () => {
      const point = reading();
      return point ? `${label}: ${costs(point)}` : `${label}: nothing was measured yet`;
    };
    mountChart(state, place, () => picture(state.attention.value.points, measure), {
      at: () => pointed.value,
      point(tokens) {
        pointed.value = tokens;
      },
      said,
    });
    effect(() => {
      const point = reading();
      read.textContent = point ? costs(point) : "\u00a0";
    });
    effect(() => {
      const last = state.attention.value.points.at(-1);
      place.ariaLabel = last ? `${label}: ${costs(last)}` : said();
    });
  }
}

function sentenceOf({ tokens, stored, tiled, difference }: AttentionPoint): string {
  const apart = difference === 0 ? "equal" : `equal to ${difference.toPrecision(1)}`;
  const cost = (way: AttentionCost) => `${bytes(way.bytes)} and ${milliseconds(way.milliseconds)}`;
  return `Over ${count(tokens)} characters: ${cost(stored)} with stored scores, ${cost(tiled)} in tiles; the results are ${apart}.`;
}

function picture(points: readonly AttentionPoint[], { of, format, empty, base }: Measure): Picture {
  const tokens = points.map((point) => point.tokens);
  const line = { width: 2, points: { show: true, size: 6 } };
  return {
    shape: "",
    data: [tokens, points.map(({ stored }) => of(stored)), points.map(({ tiled }) => of(tiled))],
    options: {
      series: [{}, { ...line, stroke: colour("--ink-3") }, { ...line, stroke: colour("--transformer") }],
      padding: [8, 14, 0, 0],
      scales: {
        x: { time: false, distr: 3, log: 2, range: (_, low, high) => (low < high ? [low, high] : [128, 4096]) },
        y: {
          distr: 3,
          log: 10,
          range: (_, low, high) => (low === null ? [...empty] : [low / 2, high * 2]),
        },
      },
      axes: [
        axis({ label: "characters", size: 30, values: (_, ticks) => ticks.map((tick) => (tick ? count(tick) : "")) }),
        axis({
          size: 62,
          space: 28,
          splits: (_, __, low, high) => powers(base, low, high),
          filter: (_, splits) => splits,
          values: (_, ticks) => ticks.map(format),
        }),
      ],
    },
  };
}
