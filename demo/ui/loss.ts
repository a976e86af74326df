import { effect, signal } from "@preact/signals-core";
import type uPlot from "uplot";
import type { Axis } from "../curve.ts";
import { nearest } from "../nearest.ts";
import type { HeldOutPoint } from "../protocol.ts";
import { isTask } from "../quality.ts";
import type { Run, State } from "../state.ts";
import { align, axis, faint, mountChart, type Picture } from "./chart.ts";
import { byId, onChoice } from "./dom.ts";
import { brief, count, decimal, duration, percent, short } from "./format.ts";
import { readMeters } from "./meters.ts";
import { colour, modelToken } from "./theme.ts";

const AXIS_LABELS: Record<Axis, string> = { step: "steps", tokens: "characters read", seconds: "seconds of training" };

const place = (value: number, along: Axis): string =>
  along === "step" ? `step ${count(value)}` : along === "tokens" ? `${brief(value)} characters` : duration(value);

/** What stands along y: the loss, or of a task the share of right answers. */
type Scale = "linear" | "log" | "answers";

/** Loss against steps, characters or seconds: training thin, held-out bold, earlier runs pale. Tasks begin with right answers. */
export function mountLoss(state: State): void {
  const along = signal<Axis>("step");
  const scale = signal<Scale>("linear");
  const chart = byId("loss-chart");
  const title = byId("loss-title");
  const help = byId("loss-help");
  const ofLoss = help.textContent;
  const [train, held, at] = [byId("read-train"), byId("read-held"), byId("read-at")];
  const [right, answers] = [byId("read-right"), byId("scale-answers")];
  const { pointed } = state;

  onChoice("axis", (value) => {
    along.value = value as Axis;
  });
  onChoice("scale", (value) => {
    scale.value = value as Scale;
  });

  /** What the current run's curves say where the pointer is, or last of all. */
  const reading = () => {
    void state.growth.value;
    const { points = [], heldOut = [] } = state.current.value?.curve ?? {};
    const step = pointed.value;
    const read = <T extends HeldOutPoint>(all: readonly T[]) =>
      step === null ? all.at(-1) : nearest(all, (point) => point.step, step);
    return { point: read(points), heldOut: read(heldOut) };
  };

  mountChart(
    state,
    chart,
    () => {
      void state.growth.value;
      const shown = state.runs.value.filter((run) => run.shown.value);
      return lossPicture(shown, state.current.value, along.value, scale.value);
    },
    {
      at: () => (pointed.value === null ? null : (reading().point?.[along.value] ?? null)),
      point(x) {
        const points = state.current.value?.curve.points ?? [];
        const found = x === null ? undefined : nearest(points, (point) => point[along.peek()], x);
        pointed.value = found?.step ?? null;
      },
      said() {
        const { point, heldOut } = reading();
        if (!point) return "No run yet.";
        const answered = heldOut?.accuracy === undefined ? "" : `, ${percent(heldOut.accuracy)} answered right`;
        const apart = heldOut ? `, held-out ${decimal(heldOut.loss)}${answered}` : "";
        return `${place(point[along.peek()], along.peek())}: train ${decimal(point.loss)}${apart}. ${readMeters(point)}.`;
      },
    },
  );

  effect(() => {
    const { point, heldOut } = reading();
    const run = state.current.value;
    train.textContent = point ? decimal(point.loss) : "–";
    held.textContent = heldOut ? decimal(heldOut.loss) : "–";
    right.textContent = heldOut?.accuracy === undefined ? "–" : percent(heldOut.accuracy);
    at.textContent = point ? place(point[along.value], along.value) : "–";
    const swatch = run ? `var(${modelToken(run.settings.value.model)})` : "var(--ink-2)";
    for (const key of document.querySelectorAll<HTMLElement>(".key")) key.style.setProperty("--swatch", swatch);
  });

  let judged: string | undefined;
  effect(() => {
    const run = state.current.value;
    const task = isTask(state.catalogue.value, run?.settings.value.text);
    answers.hidden = !task;
    // A visitor's choice holds as long as the run is the same.
    if (run?.id === judged) return;
    judged = run?.id;
    const fitting = task ? "answers" : scale.peek() === "answers" ? "linear" : scale.peek();
    document.querySelector<HTMLInputElement>(`input[name="scale"][value="${fitting}"]`)?.click();
  });

  effect(() => {
    const answered = scale.value === "answers";
    title.textContent = answered ? "Answers" : "Loss";
    // One for the other, so that the line keeps its length.
    byId("key-train").hidden = answered;
    byId("key-right").hidden = !answered;
    help.textContent = answered
      ? "The share of questions that were held out and that the model answers right to the last character. Higher is better."
      : ofLoss;
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

function lossPicture(runs: readonly Run[], current: Run | null, along: Axis, scale: Scale): Picture {
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
