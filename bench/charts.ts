/** Pictures of runs, as SVG that needs nothing else. */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { Comparison } from "./compare.ts";
import type { Report } from "./job.ts";
import type { PeerRatio } from "./keep.ts";
import { isTimed } from "./measure.ts";
import { standing } from "./roofline/roofline.ts";
import type { Row, Scenario } from "./scenarios/scenario.ts";
import { adapterName } from "./table.ts";

const FONT = "system-ui, sans-serif";
const config = {
  font: FONT,
  background: "white",
  view: { stroke: "#ccc" },
  legend: { labelLimit: 240 },
  point: { size: 60, filled: true },
};

async function draw(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile({ ...spec, config } as TopLevelSpec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Dashes of what bounds a part of the kernels only. */
const INNER = {
  domain: ["workgroup memory", "register tile of products"],
  range: [
    [2, 3],
    [8, 4],
  ],
};

const WIDTH = 900;
const HEIGHT = 520;

/** Attained against attainable GFLOP/s by arithmetic intensity; lines without arithmetic have no place there. */
export function rooflineChart({ results, roofline, machine }: Report): Promise<string> | null {
  const timed = results.filter(isTimed).filter(({ flops }) => flops > 0);
  if (!roofline || timed.length === 0) return null;
  const points = timed.map((result) => {
    const { intensity, gflops } = standing(result, roofline);
    return { name: shortName(result.name), family: result.name.split("/")[0], intensity, gflops };
  });
  const ridge = roofline.gflops / roofline.storageGBs;
  const across = span([ridge, ...points.map(({ intensity }) => intensity)]);
  const up = span([roofline.gflops, ...points.map(({ gflops }) => gflops)]);
  /** A bandwidth's slope up to a rate's ceiling, from edge to edge of the plot. */
  const roof = (roofOf: string, gbs: number, gflops: number) =>
    [across[0], gflops / gbs, across[1]].map((intensity) => ({
      ...{ intensity, gflops: Math.min(gflops, intensity * gbs), roof: roofOf },
    }));
  const inner = [
    ...roof("workgroup memory", roofline.workgroupGBs, roofline.gflops),
    ...(roofline.tileGflops ? roof("register tile of products", roofline.storageGBs, roofline.tileGflops) : []),
  ];
  const axis = (field: string, title: string, domain: readonly [number, number]) =>
    ({ field, type: "quantitative", title, scale: { type: "log", domain, nice: false, clamp: true } }) as const;
  const x = axis("intensity", "FLOP a byte", across);
  const y = axis("gflops", "GFLOP/s", up);
  const labels = placeLabels(points, across, up);
  const text = (side: "left" | "right") => ({
    data: { values: labels.filter((label) => label.side === side) },
    mark: { type: "text", align: side, dx: side === "left" ? 7 : -7, fontSize: 10, color: "#444" },
    encoding: { x, y, text: { field: "name", type: "nominal" } },
  });
  return draw({
    width: WIDTH,
    height: HEIGHT,
    title: `Roofline of ${adapterName(machine)}`,
    layer: [
      {
        data: { values: inner },
        mark: { type: "line", clip: true, color: "#777", strokeWidth: 1.2 },
        encoding: { x, y, strokeDash: { field: "roof", type: "nominal", title: "inner roofs", scale: INNER } },
      },
      {
        data: { values: roof("device", roofline.storageGBs, roofline.gflops) },
        ...{ mark: { type: "line", color: "#555", strokeWidth: 2, clip: true }, encoding: { x, y } },
      },
      { data: { values: points }, mark: "point", encoding: { x, y, color: { field: "family", type: "nominal" } } },
      text("left"),
      text("right"),
    ],
  } as object as TopLevelSpec);
}

/** `matmul/square/512` -> `matmul square`: sizes would fill the plot, and the table has them. */
const shortName = (name: string): string => name.split("/").slice(0, -1).join(" ") || name;

/** Limits of a logarithmic axis with room for labels. */
const span = (values: readonly number[]): [number, number] => [Math.min(...values) / 1.6, Math.max(...values) * 2];

interface Point {
  readonly name: string;
  readonly intensity: number;
  readonly gflops: number;
}

/** The points whose names fit beside them, to the right or to the left, without covering another; equal names once. */
export function placeLabels<P extends Point>(
  points: readonly P[],
  across: readonly [number, number],
  up: readonly [number, number],
): (P & { readonly side: "left" | "right" })[] {
  const share = (value: number, [from, to]: readonly [number, number]) => Math.log(value / from) / Math.log(to / from);
  const at = points.map((point) => ({
    x: WIDTH * share(point.intensity, across),
    y: HEIGHT * (1 - share(point.gflops, up)),
  }));
  const taken = at.map(({ x, y }) => ({ left: x - 4, right: x + 4, top: y - 4, bottom: y + 4 }));
  const named = new Set<string>();
  return points.flatMap((point, i) => {
    const { x, y } = at[i] as { x: number; y: number };
    const width = 5.5 * point.name.length;
    for (const side of ["left", "right"] as const) {
      const left = side === "left" ? x + 6 : x - 6 - width;
      const box = { left, right: left + width, top: y - 6, bottom: y + 6 };
      const free = (other: typeof box) =>
        other.right <= box.left || other.left >= box.right || other.bottom <= box.top || other.top >= box.bottom;
      if (named.has(point.name) || box.left < 0 || box.right > WIDTH || !taken.every(free)) continue;
      taken.push(box);
      named.add(point.name);
      return [{ ...point, side }];
    }
    return [];
  });
}

/** How much of what the device can do each line attains. */
export function shareChart({ results, roofline }: Report): Promise<string> | null {
  const timed = results.filter(isTimed);
  if (!roofline || timed.length === 0) return null;
  const values = timed.map((result) => {
    const { share, boundBy } = standing(result, roofline);
    return { name: result.name, percent: 100 * share, bound: boundBy };
  });
  const title = "% of the attainable bound";
  return draw(bars(values, { field: "percent", title, color: "bound", mark: 100, colors: BOUNDS }));
}

export function comparisonChart(comparisons: readonly Comparison[], kept: string): Promise<string> | null {
  const values = comparisons.flatMap(({ name, ratio, verdict }) => (ratio === null ? [] : [{ name, ratio, verdict }]));
  if (values.length === 0) return null;
  const title = `time as a multiple of ${kept}'s`;
  return draw(bars(values, { field: "ratio", title, color: "verdict", mark: 1, colors: VERDICTS }));
}

/** Bars by engine, from the peers' last report. */
export function peerChart(values: readonly PeerRatio[]): Promise<string> | null {
  if (values.length === 0) return null;
  const title = "how many times as fast as the peer";
  return draw(bars(values, { field: "ratio", title, color: "peer", mark: 1, log: true }));
}

const BOUNDS: Readonly<Record<string, string>> = { arithmetic: "#4c78a8", bandwidth: "#f58518" };
const VERDICTS: Readonly<Record<string, string>> = { faster: "#2a9d5c", same: "#9aa5b1", slower: "#c0392b" };

interface Bars {
  /** What is drawn, and what its axis says. */
  readonly field: string;
  readonly title: string;
  /** Field of the colours. */
  readonly color: string;
  readonly colors?: Readonly<Record<string, string>>;
  /** Where a line is drawn across all bars. */
  readonly mark: number;
  /** A logarithmic axis, whose bars begin at the mark; those of each colour stand beside each other. */
  readonly log?: boolean;
}

function bars(values: readonly object[], { field, title, color, colors, mark, log = false }: Bars): TopLevelSpec {
  const y = { field: "name", type: "nominal", title: null, sort: null, axis: { labelLimit: 320 } } as const;
  const x = { field, type: "quantitative", title, ...(log ? { scale: { type: "log" } } : {}) } as const;
  const range = colors && { scale: { domain: Object.keys(colors), range: Object.values(colors) } };
  return {
    width: 620,
    data: { values: [...values] },
    layer: [
      {
        mark: "bar",
        encoding: {
          ...{ x, y, color: { field: color, type: "nominal", title: color, ...range } },
          ...(log ? { x2: { datum: mark }, yOffset: { field: color } } : {}),
        },
      },
      { mark: { type: "rule", color: "#333", strokeDash: [4, 3] }, encoding: { x: { datum: mark } } },
    ],
  } as TopLevelSpec;
}

/** The pictures that a scenario asks for. */
export function scenarioCharts({ title, columns, pictures }: Scenario, rows: readonly Row[]): Promise<string>[] {
  const label = (name: string) => columns.find((column) => column.name === name)?.label ?? name;
  return pictures.map(({ mark, x, y, series, log = [] }) =>
    draw({
      width: 560,
      height: 320,
      title,
      data: { values: rows.filter((row) => row[y] !== null && row[y] !== undefined) },
      mark: mark === "line" ? { type: "line", point: true } : { type: "bar" },
      encoding: {
        x: {
          field: x,
          type: mark === "bar" || rows.some((row) => typeof row[x] === "string") ? "nominal" : "quantitative",
          title: label(x),
          sort: null,
          ...(log.includes("x") ? { scale: { type: "log", base: 2 } } : {}),
        },
        y: {
          field: y,
          type: "quantitative",
          title: label(y),
          ...(log.includes("y") ? { scale: { type: "log" } } : {}),
        },
        ...(series ? { color: { field: series, type: "nominal", title: label(series), sort: null } } : {}),
        ...(series && mark === "bar" ? { xOffset: { field: series } } : {}),
      },
    } as TopLevelSpec),
  );
}
