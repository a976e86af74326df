/** Pictures of runs, as SVG that needs nothing else. */
import { parse, View } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";
import type { Comparison } from "./compare.ts";
import type { Report } from "./job.ts";
import { isTimed } from "./measure.ts";
import { standing } from "./roofline/roofline.ts";
import type { Row, Scenario } from "./scenarios/scenario.ts";

const FONT = "system-ui, sans-serif";
const config = { font: FONT, background: "white", view: { stroke: "#ccc" }, point: { size: 60, filled: true } };

async function draw(spec: TopLevelSpec): Promise<string> {
  const view = new View(parse(compile({ ...spec, config } as TopLevelSpec).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}

/** Attained against attainable GFLOP/s by arithmetic intensity; lines without arithmetic have no place there. */
export function rooflineChart({ results, roofline, machine }: Report): Promise<string> | null {
  const timed = results.filter(isTimed).filter(({ flops }) => flops > 0);
  if (!roofline || timed.length === 0) return null;
  const points = timed.map((result) => {
    const { intensity, gflops } = standing(result, roofline);
    return { name: result.name, family: result.name.split("/")[0], intensity, gflops };
  });
  const ridge = roofline.gflops / roofline.storageGBs;
  const from = Math.min(ridge / 4, ...points.map(({ intensity }) => intensity / 2));
  const to = Math.max(ridge * 4, ...points.map(({ intensity }) => intensity * 2));
  const roof = [from, ridge, to].map((intensity) => ({
    intensity,
    gflops: Math.min(roofline.gflops, intensity * roofline.storageGBs),
  }));
  const x = { field: "intensity", type: "quantitative", scale: { type: "log" }, title: "FLOP a byte" } as const;
  const y = { field: "gflops", type: "quantitative", scale: { type: "log" }, title: "GFLOP/s" } as const;
  return draw({
    width: 640,
    height: 400,
    title: `Roofline of ${machine.adapter}`,
    layer: [
      { data: { values: roof }, mark: { type: "line", color: "#888" }, encoding: { x, y } },
      { data: { values: points }, mark: "point", encoding: { x, y, color: { field: "family", type: "nominal" } } },
      {
        data: { values: points },
        mark: { type: "text", align: "left", dx: 6, fontSize: 9 },
        encoding: { x, y, text: { field: "name", type: "nominal" } },
      },
    ],
  } as TopLevelSpec);
}

/** How much of what the device can do each line attains. */
export function shareChart({ results, roofline }: Report): Promise<string> | null {
  const timed = results.filter(isTimed);
  if (!roofline || timed.length === 0) return null;
  const values = timed.map((result) => {
    const { share, boundBy } = standing(result, roofline);
    return { name: result.name, percent: 100 * share, bound: boundBy };
  });
  return draw(bars(values, "percent", "% of the attainable bound", "bound"));
}

export function comparisonChart(comparisons: readonly Comparison[], kept: string): Promise<string> | null {
  const values = comparisons.flatMap(({ name, ratio, verdict }) => (ratio === null ? [] : [{ name, ratio, verdict }]));
  if (values.length === 0) return null;
  return draw(bars(values, "ratio", `time as a multiple of ${kept}'s`, "verdict"));
}

/** Rows of bars by engine, from the peers' last report. */
export function peerChart(values: readonly { name: string; peer: string; ratio: number }[]): Promise<string> | null {
  if (values.length === 0) return null;
  return draw({
    ...bars(values, "ratio", "how many times as fast as the peer", "peer"),
  } as TopLevelSpec);
}

function bars(values: readonly object[], field: string, title: string, color: string): TopLevelSpec {
  return {
    width: 520,
    data: { values: [...values] },
    mark: "bar",
    encoding: {
      y: { field: "name", type: "nominal", title: null, sort: null, axis: { labelLimit: 320 } },
      ...(color === "peer" ? { yOffset: { field: color } } : {}),
      x: { field, type: "quantitative", title },
      color: { field: color, type: "nominal" },
    },
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
