import { effect } from "@preact/signals-core";
import uPlot from "uplot";
import { keyed } from "../nearest.ts";
import type { State } from "../state.ts";
import { byId } from "./dom.ts";
import { colour } from "./theme.ts";

type Column = (number | null | undefined)[];

/** What a chart draws at one moment. A change of `shape` (series, scale, colours) builds it anew; data alone does not. */
export interface Picture {
  readonly shape: string;
  readonly options: Omit<uPlot.Options, "width" | "height">;
  readonly data: uPlot.AlignedData;
}

/** A place along x that a chart points at. Charts that share it point at the same place. */
export interface Pointer {
  /** Null while nothing is pointed at. Reads signals. */
  at(): number | null;
  point(x: number | null): void;
  /** What stands there, for those who go along the chart with the arrow keys; without it, keys do nothing. */
  said?(): string;
}

/** Keeps a uPlot chart in `place` as `picture` says, at the place's own size. `picture` reads signals. */
export function mountChart(state: State, place: HTMLElement, picture: () => Picture, pointer?: Pointer): void {
  let chart: uPlot | null = null;
  let shape = "";
  /** Whether the mouse is over this chart; it then leads, and otherwise follows. */
  let leads = false;
  const lead = (drawn: uPlot) => {
    const { left } = drawn.cursor;
    if (leads && left !== undefined && left >= 0) pointer?.point(drawn.posToVal(left, "x"));
  };
  const follow = () => {
    const x = pointer?.at() ?? null;
    if (chart && pointer && !leads)
      chart.setCursor({ left: x === null ? -10 : chart.valToPos(x, "x"), top: x === null ? -10 : 0 }, false);
  };

  effect(() => {
    const now = picture();
    const key = `${state.theme.value} ${now.shape}`;
    if (chart && key === shape) chart.setData(now.data);
    else {
      chart?.destroy();
      shape = key;
      const { options } = now;
      const cursor = { show: pointer !== undefined, y: false, drag: { x: false, y: false }, points: { show: false } };
      const sizes = { width: place.clientWidth, height: place.clientHeight };
      chart = new uPlot(
        { legend: { show: false }, cursor, hooks: { setCursor: [lead] }, ...options, ...sizes },
        now.data,
        place,
      );
    }
    // uPlot takes new scales in a microtask, too.
    queueMicrotask(follow);
  });
  if (pointer) {
    effect(follow);
    readable(
      place,
      () => chart?.data[0] ?? [],
      pointer,
      (over) => {
        leads = over;
      },
    );
  }
  new ResizeObserver(() => {
    if (place.clientWidth > 0) chart?.setSize({ width: place.clientWidth, height: place.clientHeight });
  }).observe(place);
}

/** Reads a chart by mouse, by touch and by the arrow keys, Home, End and Escape. */
function readable(
  place: HTMLElement,
  places: () => ArrayLike<number>,
  { at, point, said }: Pointer,
  over: (on: boolean) => void,
): void {
  // Before uPlot hears of it.
  place.addEventListener("mousemove", () => over(true), { capture: true });
  place.addEventListener("mouseleave", () => {
    over(false);
    point(null);
  });
  if (!said) return;
  place.tabIndex = 0;
  place.setAttribute("aria-describedby", "chart-help");
  place.addEventListener("blur", () => point(null));
  place.addEventListener("keydown", (event) => {
    const x = places();
    if (event.key === "Escape") point(null);
    const next = keyed(event.key, x, at());
    if (next === null) return;
    event.preventDefault();
    over(false);
    point(x[next] as number);
    byId("chart-said").textContent = said();
  });
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
