import { effect, signal } from "@preact/signals-core";
import type uPlot from "uplot";
import type { Axis } from "../curve.ts";
import type { HeldOutPoint } from "../protocol.ts";
import type { Run, State } from "../state.ts";
import { align, axis, faint, mountChart, type Picture } from "./chart.ts";
import { byId, onChoice } from "./dom.ts";
import { brief, count, decimal, duration, short } from "./format.ts";
import { colour, modelToken } from "./theme.ts";

const AXIS_LABELS: Record<Axis, string> = { step: "steps", tokens: "characters read", seconds: "seconds of training" };

const place = (value: number, along: Axis): string =>
  along === "step" ? `step ${count(value)}` : along === "tokens" ? `${brief(value)} characters` : duration(value);

/** What stands along y: the loss, or of a task the share of right answers. */
type Scale = "linear" | "log" | "answers";

const percent = (share: number): string => `${Math.round(100 * share)}%`;

/** Loss against steps, characters or seconds: training thin, held-out bold, earlier runs pale. */
export function mountLoss(state: State): void {
  const along = signal<Axis>("step");
  const scale = signal<Scale>("linear");
  const hover = signal<number | null>(null);
  const chart = byId("loss-chart");
  const [train, held, at] = [byId("read-train"), byId("read-held"), byId("read-at")];
  const [right, keyOfRight, answers] = [byId("read-right"), byId("key-right"), byId("scale-answers")];

  onChoice("axis", (value) => {
    along.value = value as Axis;
  });
  onChoice("scale", (value) => {
    scale.value = value as Scale;
  });

  mountChart(state, chart, () => {
    void state.growth.value;
    const current = state.current.value;
    const shown = state.runs.value.filter((run) => run.shown.value);
    return lossPicture(shown, current, along.value, scale.value, (x) => {
      hover.value = x;
    });
  });

  effect(() => {
    void state.growth.value;
    const run = state.current.value;
    const points = run?.curve.points ?? [];
    const heldOut = run?.curve.heldOut ?? [];
    const x = hover.value;
    const point = x === null ? points.at(-1) : nearest(points, along.value, x);
    const bold = x === null ? heldOut.at(-1) : nearest(heldOut, along.value, x);
    train.textContent = point ? decimal(point.loss) : "–";
    held.textContent = bold ? decimal(bold.loss) : "–";
    right.textContent = bold?.accuracy === undefined ? "–" : percent(bold.accuracy);
    at.textContent = point ? place(point[along.value], along.value) : "–";
    const swatch = run ? `var(${modelToken(run.settings.value.model)})` : "var(--ink-2)";
    for (const key of document.querySelectorAll<HTMLElement>(".key")) key.style.setProperty("--swatch", swatch);
  });

  effect(() => {
    const id = state.current.value?.settings.value.text;
    const task = state.catalogue.value.texts.some((text) => text.id === id && text.task);
    keyOfRight.hidden = answers.hidden = !task;
    if (!task && scale.peek() === "answers") document.querySelector<HTMLInputElement>('input[name="scale"]')?.click();
  });

  effect(() => {
    // Only held-out values: they come seldom enough to be read out.
    void state.growth.value;
    const last = state.current.value?.curve.heldOut.at(-1);
    chart.ariaLabel = last
      ? `Loss, in nats a character: held-out ${decimal(last.loss)} at step ${count(last.step)}${
          last.accuracy === undefined ? "" : `; ${percent(last.accuracy)} of the held-out questions answered right`
        }`
      : "Loss, in nats a character: no run yet";
  });
}

function lossPicture(
  runs: readonly Run[],
  current: Run | null,
  along: Axis,
  scale: Scale,
  onHover: (x: number | null) => void,
): Picture {
  const series: uPlot.Series[] = [{}];
  const curves: { x: number[]; y: number[] }[] = [];
  for (const run of runs) {
    const full = colour(modelToken(run.settings.peek().model));
    const old = run !== current;
    series.push({ stroke: faint(full, old ? 30 : 55), width: 1, points: { show: false }, spanGaps: true });
    series.push({
      stroke: old ? faint(full, 55) : full,
      width: old ? 1.5 : 2.5,
      points: { show: false },
      spanGaps: true,
    });
    const { points, heldOut } = run.curve;
    if (scale === "answers") curves.push({ x: [], y: [] }, accuracies(heldOut, along));
    else curves.push(columns(points, along), columns(heldOut, along));
  }
  const log = scale === "log";
  return {
    shape: `${along} ${scale} ${runs.map(({ id }) => id)} ${current?.id}`,
    data: align(curves),
    options: {
      series,
      legend: { show: false },
      padding: [8, 12, 0, 0],
      scales: {
        x: { time: false, range: (_, low, high) => (low === null ? [0, 100] : [Math.min(0, low), Math.max(high, 10)]) },
        y:
          scale === "answers"
            ? { range: [0, 1] }
            : { distr: log ? 3 : 1, log: 2, range: (_, low, high) => lossRange(low, high, log) },
      },
      axes: [
        axis({ label: AXIS_LABELS[along], size: 30, values: (_, ticks) => ticks.map(short) }),
        axis({
          label: scale === "answers" ? "held-out answers right" : "nats a character",
          size: 44,
          space: 28,
          ...(log ? { splits: (_, __, low, high) => logSplits(low, high) } : {}),
          values: (_, ticks) =>
            ticks.map((tick) => (tick === null ? "" : scale === "answers" ? percent(tick) : `${+tick.toFixed(2)}`)),
        }),
      ],
      cursor: {
        y: false,
        drag: { x: false, y: false },
        points: { show: false },
        sync: { key: "run" },
      },
      hooks: {
        setCursor: [
          (chart) => {
            const { left } = chart.cursor;
            onHover(left === undefined || left < 0 ? null : chart.posToVal(left, "x"));
          },
        ],
      },
    },
  };
}

function columns(points: readonly HeldOutPoint[], along: Axis): { x: number[]; y: number[] } {
  return { x: points.map((point) => point[along]), y: points.map(({ loss }) => loss) };
}

function accuracies(points: readonly HeldOutPoint[], along: Axis): { x: number[]; y: number[] } {
  const told = points.filter(({ accuracy }) => accuracy !== undefined);
  return { x: told.map((point) => point[along]), y: told.map(({ accuracy }) => accuracy as number) };
}

/** Room above and below; without data, where a character model starts and ends. */
function lossRange(low: number | null, high: number | null, log: boolean): [number, number] {
  if (low === null || high === null) return [log ? 1 : 0, 5];
  const room = Math.max(0.05, (high - low) * 0.06);
  return [Math.max(log ? low * 0.95 : 0, low - room), high + room];
}

/** Round values, about seven, evenly spread along a logarithmic axis that spans less than a decade. */
function logSplits(low: number, high: number): number[] {
  const step = [0.05, 0.1, 0.25, 0.5, 1].find((size) => (high - low) / size <= 9) ?? 2;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, i) => (first + i) * step);
}

/** The point closest to x; points are in order of x. */
function nearest<T extends HeldOutPoint>(points: readonly T[], along: Axis, x: number): T | undefined {
  let low = 0;
  let high = points.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((points[middle] as T)[along] < x) low = middle + 1;
    else high = middle;
  }
  const [before, after] = [points[low - 1], points[low]];
  if (!before || !after) return after;
  return x - before[along] < after[along] - x ? before : after;
}
