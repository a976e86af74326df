import { effect } from "@preact/signals-core";
import type uPlot from "uplot";
import type { Run, State } from "../state.ts";
import { align, axis, mountChart, type Picture, powers } from "./chart.ts";
import { byId } from "./dom.ts";
import { bytes, count, short } from "./format.ts";
import { colour, modelToken } from "./theme.ts";

interface Duel {
  readonly id: string;
  readonly label: string;
  /** What stands along x and y of a run's line. */
  points(run: Run): readonly (readonly [x: number, y: number])[];
  /** Where no run has been measured yet. */
  readonly empty: { readonly x: readonly [number, number]; readonly y: readonly [number, number] };
  readonly x: { readonly label: string; readonly log: boolean };
  readonly y: { readonly label: string; readonly log: boolean; format(value: number): string };
}

const loss = { label: "nats a character", log: false, format: (value: number) => `${+value.toFixed(2)}` };
const context = { label: "characters before", log: true };

const DUELS: readonly Duel[] = [
  {
    id: "compare-tokens",
    label: "Held-out loss against characters read",
    points: (run) => run.curve.heldOut.map(({ tokens, loss }) => [tokens, loss]),
    empty: { x: [0, 1e5], y: [1, 4] },
    x: { label: "characters read", log: false },
    y: loss,
  },
  {
    id: "compare-seconds",
    label: "Held-out loss against seconds of training",
    points: (run) => run.curve.heldOut.map(({ seconds, loss }) => [seconds, loss]),
    empty: { x: [0, 60], y: [1, 4] },
    x: { label: "seconds of training", log: false },
    y: loss,
  },
  {
    id: "compare-time",
    label: "Milliseconds for one more character against the length of the text before",
    points: (run) => run.cost.value.map(({ context, milliseconds }) => [context, milliseconds]),
    empty: { x: [32, 2048], y: [0, 10] },
    x: context,
    y: { label: "ms a character", log: false, format: (value) => `${+value.toFixed(2)}` },
  },
  {
    id: "compare-memory",
    label: "Bytes that are remembered of the text, against its length",
    points: (run) => run.cost.value.map(({ context, bytes }) => [context, bytes]),
    empty: { x: [32, 2048], y: [256, 2 ** 20] },
    x: context,
    y: { label: "bytes", log: true, format: bytes },
  },
];

/** Four charts of one comparison, one line a model in its colour. */
export function mountCompareCharts(state: State): void {
  for (const duel of DUELS) {
    const place = byId(duel.id);
    mountChart(state, place, () => {
      void state.growth.value;
      return picture(state.compared.value, duel);
    });
    effect(() => {
      void state.growth.value;
      const runs = state.compared.value.filter((run) => duel.points(run).length > 0);
      const ends = runs.map((run) => {
        const name = state.catalogue.value.models.find(({ id }) => id === run.settings.value.model)?.name;
        return `${name} ${duel.y.format(duel.points(run).at(-1)?.[1] ?? 0)}`;
      });
      place.ariaLabel = `${duel.label}: ${ends.join(", ") || "nothing was compared yet"}`;
    });
  }
}

function picture(runs: readonly Run[], { points, empty, x, y }: Duel): Picture {
  const lines = runs.map((run) => ({ stroke: colour(modelToken(run.settings.peek().model)), at: points(run) }));
  const logarithmic = { distr: 3, log: 2 } as const;
  const range = (fallback: readonly [number, number], zero: boolean, room: number) => {
    const bounds: uPlot.Range.Function = (_, low, high) =>
      low === null ? [...fallback] : [zero ? 0 : low / (1 + room), Math.max(high * (1 + room), low * 1.001)];
    return bounds;
  };
  const measured = new Set(lines.flatMap(({ at }) => at.map(([x]) => x)));
  const contexts = measured.size > 0 ? measured : [32, 128, 512, 2048];
  return {
    shape: runs.map(({ id }) => id).join(" "),
    data: align(lines.map(({ at }) => ({ x: at.map(([x]) => x), y: at.map(([, y]) => y) }))),
    options: {
      series: [
        {},
        ...lines.map(({ stroke }) => ({ stroke, width: 2, points: { show: x.log, size: 6 }, spanGaps: true })),
      ],
      legend: { show: false },
      padding: [8, 14, 0, 0],
      scales: {
        x: { time: false, ...(x.log && logarithmic), range: range(empty.x, !x.log, 0) },
        y: {
          ...(y.log && { distr: 3, log: 10 }),
          range: range(empty.y, !y.log && y !== loss, y.log ? 1 : 0.05),
        },
      },
      axes: [
        axis({
          label: x.label,
          size: 30,
          ...(x.log && { splits: () => [...contexts], filter: (_, splits) => splits }),
          values: (_, ticks) => ticks.map(x.log ? count : short),
        }),
        axis({
          label: y.label,
          size: y.log ? 62 : 44,
          space: 28,
          ...(y.log && { splits: (_, __, low, high) => powers(8, low, high), filter: (_, splits) => splits }),
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : y.format(tick))),
        }),
      ],
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    },
  };
}
