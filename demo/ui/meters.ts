import { effect } from "@preact/signals-core";
import { thin } from "../curve.ts";
import { nearest } from "../nearest.ts";
import type { Point } from "../protocol.ts";
import type { State } from "../state.ts";
import { align, axis, faint, mountChart, type Picture } from "./chart.ts";
import { byId } from "./dom.ts";
import { brief, bytes, decimal, rate } from "./format.ts";
import { colour, modelToken } from "./theme.ts";

/** The small charts under the loss, in the order of index.html. */
const METERS = {
  tokensPerSecond: brief,
  gradNorm: decimal,
  learningRate: rate,
  memoryBytes: bytes,
} as const satisfies Partial<Record<keyof Point, (value: number) => string>>;

/** Points of a small chart: it has few pixels. */
const WIDTH = 250;

/** The meters of one step in words. */
export const readMeters = ({ tokensPerSecond, gradNorm, learningRate, memoryBytes }: Point): string =>
  `${brief(tokensPerSecond)} tokens a second, gradient norm ${decimal(gradNorm)}, learning rate ${rate(learningRate)}, ${bytes(memoryBytes)} of GPU memory`;

/** Small multiples of the current run: the value in figures, at the pointer or the latest; its course as a line from zero. */
export function mountMeters(state: State): void {
  const { pointed } = state;
  for (const [name, format] of Object.entries(METERS) as [keyof typeof METERS, (value: number) => string][]) {
    const value = byId(`meter-${name}`);
    const place = document.querySelector<HTMLElement>(`[data-meter="${name}"]`);
    if (!place) throw new Error(`index.html has no chart for ${name}`);
    effect(() => {
      void state.growth.value;
      const curve = state.current.value?.curve;
      const step = pointed.value;
      const point = step === null ? curve?.last : nearest(curve?.points ?? [], (point) => point.step, step);
      value.textContent = point ? format(point[name]) : "–";
    });
    const draw = (): Picture => {
      void state.growth.value;
      const run = state.current.value;
      const points = thin(run?.curve.points ?? [], WIDTH);
      const stroke = colour(run ? modelToken(run.settings.peek().model) : "--ink-3");
      return {
        shape: `${run?.id}`,
        data: align([{ x: points.map(({ step }) => step), y: points.map((point) => point[name]) }]),
        options: {
          series: [{}, { stroke, fill: faint(stroke, 12), width: 1.25, points: { show: false } }],
          padding: [3, 0, 0, 0],
          scales: {
            x: { time: false, range: (_, low, high) => (low === null ? [0, 100] : [0, Math.max(high, 10)]) },
            y: { range: (_, __, high) => [0, high ? high * 1.05 : 1] },
          },
          axes: [axis({ size: 1, values: () => [], ticks: { show: false }, grid: { show: false } }), { show: false }],
        },
      };
    };
    mountChart(state, place, draw, {
      at: () => pointed.value,
      point(step) {
        pointed.value = step;
      },
    });
  }
}
