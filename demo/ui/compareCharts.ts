import { effect, type Signal, signal } from "@preact/signals-core";
import type uPlot from "uplot";
import { nearest } from "../nearest.ts";
import { type Quality, qualityOf } from "../quality.ts";
import type { Run, State } from "../state.ts";
import { align, axis, mountChart, type Picture, powers } from "./chart.ts";
import { byId, make } from "./dom.ts";
import { brief, bytes, count, duration, milliseconds, short } from "./format.ts";
import { colour, modelToken } from "./theme.ts";

type Place = readonly [x: number, y: number];

interface Scale {
  readonly label: string;
  readonly log: boolean;
  /** As an axis says it. */
  tick(value: number): string;
  /** As a sentence says it. */
  format(value: number): string;
}

interface Duel {
  readonly id: string;
  /** What the chart shows, with what quality is called where it is that. */
  caption(quality: Quality): string;
  /** What stands along x and y of a run's line. */
  points(run: Run, quality: Quality): readonly Place[];
  /** Where no run has been measured yet. */
  readonly empty: { readonly x: readonly [number, number]; readonly y: readonly [number, number] };
  readonly x: Scale;
  /** Null where it is quality. */
  readonly y: Scale | null;
  /** Charts that share it are read at the same place. */
  readonly pointed: Signal<number | null>;
}

const context: Scale = {
  label: "characters before",
  log: true,
  tick: count,
  format: (value) => `after ${count(value)} characters`,
};
const lengths = signal<number | null>(null);

const DUELS: readonly Duel[] = [
  {
    id: "compare-tokens",
    caption: ({ name }) => `${name} against characters read`,
    points: (run, { of }) => run.curve.heldOut.map((point) => [point.tokens, of(point)]),
    empty: { x: [0, 1e5], y: [1, 4] },
    x: { label: "characters read", log: false, tick: short, format: (value) => `after ${brief(value)} characters` },
    y: null,
    pointed: signal(null),
  },
  {
    id: "compare-seconds",
    caption: ({ name }) => `${name} against seconds of training`,
    points: (run, { of }) => run.curve.heldOut.map((point) => [point.seconds, of(point)]),
    empty: { x: [0, 60], y: [1, 4] },
    x: { label: "seconds of training", log: false, tick: short, format: (value) => `after ${duration(value)}` },
    y: null,
    pointed: signal(null),
  },
  {
    id: "compare-time",
    caption: () => "Time for one more character, after a text of some length",
    points: (run) => run.cost.value.map(({ context, milliseconds }) => [context, milliseconds]),
    empty: { x: [32, 2048], y: [0, 10] },
    x: context,
    y: { label: "ms a character", log: false, tick: (value) => `${+value.toFixed(2)}`, format: milliseconds },
    pointed: lengths,
  },
  {
    id: "compare-memory",
    caption: () => "Memory of the text",
    points: (run) => run.cost.value.map(({ context, bytes }) => [context, bytes]),
    empty: { x: [32, 2048], y: [256, 2 ** 20] },
    x: context,
    y: { label: "bytes", log: true, tick: bytes, format: bytes },
    pointed: lengths,
  },
];

/** Follows the curves of the comparison; a run apart from it changes nothing here. */
export function followCompared({ compared, current, growth }: State): void {
  if (current.value && compared.value.includes(current.value)) void growth.value;
}

/** Four charts of one comparison, one line a model in its colour, and under each its values: where one points, or at the end. */
export function mountCompareCharts(state: State): void {
  const nameOf = (run: Run) =>
    state.catalogue.value.models.find(({ id }) => id === run.settings.value.model)?.name ?? "";
  /** By what the models are judged that are shown; before the first comparison, those of the next. */
  const quality = () =>
    qualityOf(state.catalogue.value, (state.compared.value[0]?.settings ?? state.settings).value?.text);

  for (const duel of DUELS) {
    const { id, x, pointed } = duel;
    const place = byId(id);
    const caption = byId(`${id}-caption`);
    const read = byId(`${id}-read`);

    const reading = () => {
      followCompared(state);
      const judged = quality();
      const lines = state.compared.value.map((run) => ({ run, at: duel.points(run, judged) }));
      const measured = lines.filter(({ at }) => at.length > 0);
      const end = Math.max(...measured.map(({ at }) => at.at(-1)?.[0] ?? 0));
      const from = pointed.value;
      const values = measured.map(({ run, at }) => {
        const found = from === null ? at.at(-1) : nearest(at, ([x]) => x, from);
        return { run, text: (duel.y ?? judged).format(found?.[1] ?? Number.NaN) };
      });
      return { where: measured.length > 0 ? x.format(from ?? end) : "", values };
    };
    const sentence = ({ where, values }: ReturnType<typeof reading>) =>
      `${where}: ${values.map(({ run, text }) => `${nameOf(run)} ${text}`).join(", ")}`;

    mountChart(
      state,
      place,
      () => {
        followCompared(state);
        return picture(state.compared.value, duel, quality());
      },
      {
        at: () => pointed.value,
        point(to) {
          // Between the lengths that were measured there is nothing to be read.
          const lengths = x.log
            ? state.compared.peek().flatMap(({ cost }) => cost.peek().map(({ context }) => context))
            : [];
          pointed.value = to === null ? null : (nearest([...new Set(lengths)], (length) => length, to) ?? to);
        },
        said: () => sentence(reading()),
      },
    );
    effect(() => {
      caption.textContent = duel.caption(quality());
    });
    effect(() => {
      const { where, values } = reading();
      read.replaceChildren(
        make("span", "where", where || "\u00a0"),
        ...values.map(({ run, text }) => {
          const key = make("span");
          const swatch = make("span", "swatch");
          swatch.style.setProperty("--swatch", `var(${modelToken(run.settings.value.model)})`);
          key.append(swatch, `${nameOf(run)} `, make("b", "", text));
          return key;
        }),
      );
    });
    effect(() => {
      // What is pointed at is read out by keys; the picture as a whole is called by its ends.
      const now = pointed.peek() === null ? reading() : null;
      if (!now) return;
      place.ariaLabel = `${duel.caption(quality())}: ${now.values.length ? sentence(now) : "nothing was compared yet"}`;
    });
  }
}

function picture(runs: readonly Run[], { points, empty, x, y: scale }: Duel, quality: Quality): Picture {
  const lines = runs.map((run) => ({
    stroke: colour(modelToken(run.settings.peek().model)),
    at: points(run, quality),
  }));
  const y = scale ?? { label: quality.unit, log: false, tick: quality.tick };
  const logarithmic = { distr: 3, log: 2 } as const;
  const range = (fallback: readonly [number, number], zero: boolean, room: number) => {
    const bounds: uPlot.Range.Function = (_, low, high) =>
      low === null ? [...fallback] : [zero ? 0 : low / (1 + room), Math.max(high * (1 + room), low * 1.001)];
    return bounds;
  };
  const measured = new Set(lines.flatMap(({ at }) => at.map(([x]) => x)));
  const contexts = measured.size > 0 ? measured : [32, 128, 512, 2048];
  const yRange: uPlot.Range.Function | uPlot.Range.MinMax =
    scale === null && quality.higherIsBetter ? [0, 1] : range(empty.y, scale !== null && !y.log, y.log ? 1 : 0.05);
  return {
    shape: `${quality.name} ${runs.map(({ id }) => id).join(" ")}`,
    data: align(lines.map(({ at }) => ({ x: at.map(([x]) => x), y: at.map(([, y]) => y) }))),
    options: {
      series: [
        {},
        ...lines.map(({ stroke }) => ({ stroke, width: 2, points: { show: x.log, size: 6 }, spanGaps: true })),
      ],
      padding: [8, 14, 0, 0],
      scales: {
        x: { time: false, ...(x.log && logarithmic), range: range(empty.x, !x.log, 0) },
        y: { ...(y.log && { distr: 3, log: 10 }), range: yRange },
      },
      axes: [
        axis({
          label: x.label,
          size: 30,
          ...(x.log && { splits: () => [...contexts], filter: (_, splits) => splits }),
          values: (_, ticks) => ticks.map(x.tick),
        }),
        axis({
          label: y.label,
          size: y.log ? 62 : 44,
          space: 28,
          ...(y.log && { splits: (_, __, low, high) => powers(8, low, high), filter: (_, splits) => splits }),
          values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : y.tick(tick))),
        }),
      ],
    },
  };
}
