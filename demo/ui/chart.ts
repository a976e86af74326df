import { effect } from "@preact/signals-core";
import uPlot from "uplot";
import type { State } from "../state.ts";
import { colour } from "./theme.ts";

type Column = (number | null | undefined)[];

/** What a chart draws at one moment. A change of `shape` (series, scale, colours) builds it anew; data alone does not. */
export interface Picture {
  readonly shape: string;
  readonly options: Omit<uPlot.Options, "width" | "height">;
  readonly data: uPlot.AlignedData;
}

/** Keeps a uPlot chart in `place` as `picture` says, at the place's own size. `picture` reads signals. */
export function mountChart(state: State, place: HTMLElement, picture: () => Picture): void {
  let chart: uPlot | null = null;
  let shape = "";
  effect(() => {
    const now = picture();
    const key = `${state.theme.value} ${now.shape}`;
    if (chart && key === shape) {
      chart.setData(now.data);
      return;
    }
    chart?.destroy();
    shape = key;
    chart = new uPlot({ ...now.options, width: place.clientWidth, height: place.clientHeight }, now.data, place);
  });
  new ResizeObserver(() => {
    if (place.clientWidth > 0) chart?.setSize({ width: place.clientWidth, height: place.clientHeight });
  }).observe(place);
}

/** One x for several curves that were measured at different places. */
export function align(curves: readonly { readonly x: number[]; readonly y: Column }[]): uPlot.AlignedData {
  const tables = curves.filter(({ x }) => x.length > 0).map(({ x, y }) => [x, y] as uPlot.AlignedData);
  const joined = tables.length ? uPlot.join(tables) : ([[]] as unknown as uPlot.AlignedData);
  // Empty curves keep their place, so that series and columns stay in step.
  const columns = joined.slice(1) as Column[];
  return [joined[0], ...curves.map(({ x }) => (x.length > 0 ? (columns.shift() as Column) : []))] as uPlot.AlignedData;
}

/** A thin axis in the page's colours. */
export function axis(options: uPlot.Axis): uPlot.Axis {
  const font = `11px ${colour("--text")}`;
  const line = { stroke: colour("--grid"), width: 1 };
  return {
    stroke: colour("--ink-2"),
    font,
    labelFont: font,
    labelSize: 16,
    grid: line,
    ticks: { ...line, size: 4 },
    ...options,
  };
}

/** A colour of the palette, fainter. */
export const faint = (value: string, percent: number): string =>
  `color-mix(in srgb, ${value} ${percent}%, ${colour("--panel")})`;

/** The powers of `base` from `low` to `high`: places for the numbers of a logarithmic axis. */
export function powers(base: number, low: number, high: number): number[] {
  const first = Math.ceil(Math.log(low) / Math.log(base));
  const last = Math.floor(Math.log(high) / Math.log(base));
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => base ** (first + i));
}
