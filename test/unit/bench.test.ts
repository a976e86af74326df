import { describe, expect, test } from "vitest";
import { openAdapter } from "../../bench/adapter.ts";
import { comparisonChart, peerChart, placeLabels, rooflineChart } from "../../bench/charts.ts";
import { compare, explain } from "../../bench/check.ts";
import { compareRuns, passes } from "../../bench/compare.ts";
import { page } from "../../bench/html.ts";
import type { Report } from "../../bench/job.ts";
import { comparable } from "../../bench/keep.ts";
import { bufferElements, groupsOf } from "../../bench/kernel/signature.ts";
import { type Clock, type Result, repeatsFor } from "../../bench/measure.ts";
import { command, parseOptions } from "../../bench/options.ts";
import { type Roofline, standing } from "../../bench/roofline/roofline.ts";
import { SCENARIOS } from "../../bench/scenarios/all.ts";
import { commonDivisor, summarise } from "../../bench/statistics.ts";
import { LINES } from "../../bench/suite/lines.ts";
import { cells, digits, HEAD, scenarioCells } from "../../bench/table.ts";
import { describe as describeKernel } from "../../kernels/describe.ts";

describe("statistics", () => {
  test("gives median and quartiles between neighbours", () => {
    expect(summarise([4, 1, 3, 2])).toEqual({ median: 2.5, low: 1.75, high: 3.25, count: 4 });
    expect(summarise([7])).toEqual({ median: 7, low: 7, high: 7, count: 1 });
    expect(() => summarise([])).toThrow("no samples");
  });

  test("finds the tick of a clock", () => {
    expect(commonDivisor([65536 * 3, 65536 * 2, 0])).toBe(65536);
    expect(commonDivisor([])).toBe(0);
  });
});

describe("repetitions of a sample", () => {
  const coarse: Clock = { method: "timestamp queries", tickNs: 65536 };
  test.each([
    ["fifty ticks of a coarse clock", 0.1, coarse, 33],
    ["one run that is long enough", 20, coarse, 1],
    ["never longer than a page may freeze", 400, coarse, 1],
    ["fifty ticks of 100 us of a launch of 2 us", 0.002, { ...coarse, tickNs: 1e5 }, 2500],
    ["ten milliseconds without timestamps", 1, { method: "submit to done", tickNs: 0 } as Clock, 10],
  ])("span %s", (_, runMs, clock, repeats) => {
    expect(repeatsFor(runMs, clock)).toBe(repeats);
  });
});

describe("the check", () => {
  test("names the first wrong element", () => {
    const mismatch = compare([1, 2, 4, 9], [1, 2, 3, 4], 1e-3);
    expect(mismatch).toEqual({ output: 0, index: 2, actual: 4, expected: 3, wrong: 2, size: 4 });
    expect(explain(mismatch!)).toBe("WRONG at index 2 of output 0: 4 instead of 3 (2 of 4 wrong)");
  });

  test("takes NaN and a missing element for wrong", () => {
    expect(compare([1, Number.NaN], [1, 2], 1)?.index).toBe(1);
    expect(compare([1], [1, 2], 1)?.index).toBe(1);
    expect(compare([1.00001], [1], 1e-4)).toBeNull();
  });
});

describe("the verdict", () => {
  const line = (median: number, spread = 0.01): Result => ({
    ...{ name: "x", flops: 0, bytes: 0, median, low: median - spread, high: median + spread, count: 5, repeats: 1 },
    ...{ method: "submit to done", compileMs: 0, firstMs: 0, scriptUs: 0, dispatches: 1, peakBytes: 0 },
  });
  test.each([
    ["slower", line(1.3), [line(1)]],
    ["same", line(1.05), [line(1)]],
    ["same", line(1.3, 0.2), [line(1, 0.2)]],
    ["faster", line(0.7), [line(1)]],
    ["new", line(1), []],
    ["broken", { name: "x", error: "WRONG" }, [line(1)]],
  ] as const)("is %s", (verdict, now, kept) => {
    const comparisons = compareRuns([now], kept, 0.1);
    expect(comparisons[0]?.verdict).toBe(verdict);
    expect(passes(comparisons)).toBe(verdict !== "slower" && verdict !== "broken");
  });
});

describe("the roofline", () => {
  const roof: Roofline = {
    gflops: 100,
    tileGflops: 50,
    storageGBs: 10,
    workgroupGBs: 50,
    dispatchUs: 1,
    readBackMs: 1,
  };
  test("bounds work by arithmetic or by bandwidth", () => {
    const dense = standing({ flops: 2e9, bytes: 1e7, median: 40 }, roof);
    expect(dense).toEqual({ gflops: 50, gbs: 0.25, intensity: 200, boundMs: 20, share: 0.5, boundBy: "arithmetic" });
    const copy = standing({ flops: 1e6, bytes: 1e8, median: 20 }, roof);
    expect(copy).toMatchObject({ gbs: 5, boundMs: 10, share: 0.5, boundBy: "bandwidth" });
    const beside = standing({ flops: 1e6, bytes: 1e8, median: 20, copyGBs: 8 }, roof);
    expect(beside).toMatchObject({ gbs: 5, boundMs: 12.5, share: 0.625, boundBy: "bandwidth" });
  });
});

test("a product's row tells its share of a register tile's rate, and no other row does", () => {
  const roofline = { gflops: 100, tileGflops: 50, storageGBs: 10, workgroupGBs: 50, dispatchUs: 1, readBackMs: 1 };
  const result = (name: string): Result => ({
    ...{ name, flops: 2e9, bytes: 1e7, median: 80, low: 80, high: 80, count: 5, repeats: 1, dispatches: 1 },
    ...{ method: "submit to done", compileMs: 0, firstMs: 0, scriptUs: 0, peakBytes: 0 },
  });
  const rows = cells({ results: [result("matmul/a"), result("softmax/b")], roofline } as unknown as Report);
  const column = HEAD.indexOf("% of tile");
  expect(rows.map((row) => row[column])).toEqual(["50.0", "-"]);
  for (const row of rows) expect(row).toHaveLength(HEAD.length);
});

describe("arguments", () => {
  const parse = (...args: string[]) =>
    parseOptions(
      args,
      command()
        .exitOverride()
        .configureOutput({ writeErr: () => {} }),
    );

  test("are read with their defaults", () => {
    expect(parse("--filter", "softmax", "--max-regression", "5%")).toMatchObject({
      ...{
        runtime: "chrome",
        adapter: null,
        filter: "softmax",
        maxRegression: 0.05,
        quick: false,
        budget: 1000,
        kernel: [],
      },
    });
    expect(parse("--kernel", "a.wgsl", "b.wgsl", "--size", "rows=8,C=4", "--entry", "forward")).toMatchObject({
      ...{ kernel: ["a.wgsl", "b.wgsl"], size: { rows: 8, C: 4 }, entry: "forward" },
    });
  });

  test.each([
    ["--runtime", "deno"],
    ["--adapter", "swiftshader"],
    ["--size", "rows=8"],
    ["--kernel", "a.wgsl", "--size", "rows"],
    ["--filter", "("],
    ["--save", "../x"],
    ["--max-regression", "-1"],
    ["--budget", "0"],
    ["stray"],
  ])("are refused: %s %s", (...args) => {
    expect(() => parse(...args)).toThrow();
  });
});

describe("the report", () => {
  const result = (name: string, median: number): Result => ({
    ...{ name, flops: 1e9, bytes: 1e7, median, low: median, high: median, count: 5, repeats: 1, dispatches: 1 },
    ...{ method: "submit to done", compileMs: 0, firstMs: 0, scriptUs: 0, peakBytes: 0 },
  });
  const report = (median: number, adapter = "SWIFTSHADER", runtime = "Chrome/1"): Report => ({
    ...{ date: "2026-01-01T00:00:00.000Z", command: "npm run bench", runtime, host: "2 x <CPU>", load: 0, rows: [] },
    roofline: { gflops: 100, tileGflops: 50, storageGBs: 10, workgroupGBs: 50, dispatchUs: 1, readBackMs: 1 },
    machine: { adapter, software: true, features: [], clock: { method: "submit to done", tickNs: 0 } },
    results: [result("matmul/square/512", median), result("softmax/8x8", median), { name: "bad/1", error: "WRONG" }],
  });

  test("is a page that names the machine, with roofline and bars, and needs nothing else", async () => {
    const now = report(30);
    const svgs = await Promise.all([
      rooflineChart(now),
      comparisonChart(compareRuns(now.results, report(20).results, 0.1), "base"),
      peerChart([{ name: "softmax1024", peer: "a-webgpu", ratio: 2 }]),
    ]);
    const [roofline, bars, peers] = svgs;
    for (const label of ["matmul square", "register tile of products", "FLOP a byte"])
      expect(roofline).toContain(label);
    for (const label of ["softmax/8x8", "slower", "a multiple of base"]) expect(bars).toContain(label);
    for (const label of ["softmax1024", "a-webgpu"]) expect(peers).toContain(label);
    const html = page(
      now,
      svgs.map((svg, i) => ({ title: `Picture ${i}`, note: "measured <then>", svg: svg as string })),
    );
    for (const part of [
      "SWIFTSHADER (A CPU EMULATION",
      "2 x &lt;CPU&gt;",
      "measured &lt;then&gt;",
      "Picture 2",
      "WRONG",
    ])
      expect(html).toContain(part);
    expect(html).not.toMatch(/(src|href)=/);
  });

  test("compares the run before only where it was made in the same place", () => {
    expect(comparable(report(1), report(2, "swiftshader", "Chrome/2"))).toBe(true);
    expect(comparable(report(1), report(2, "nvidia"))).toBe(false);
    expect(comparable(report(1), report(2, "SWIFTSHADER", "Node 20"))).toBe(false);
  });
});

test("a machine without any adapter is told apart by what was asked for", async () => {
  const none = { requestAdapter: async () => null } as unknown as GPU;
  await expect(openAdapter(none, "hardware")).rejects.toThrow(/^--adapter hardware: no hardware .* nor any other/);
  await expect(openAdapter(none, "software")).rejects.toThrow("no emulation of a GPU was found");
  await expect(openAdapter(none, null)).rejects.toThrow("found no usable GPU");
});

describe("the signature of any kernel", () => {
  const kernel = describeKernel(
    `override BLOCK: u32 = 64u;
struct Params { rows: u32, channels: u32, }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>;         // (rows, channels)
@group(0) @binding(2) var<storage, read> ids: array<u32>;         // (rows)
@group(0) @binding(3) var<storage, read_write> y: array<f32>;     // (rows, C + 2)
@group(0) @binding(4) var<storage, read_write> z: array<f32>;     // as ids: of each row
@compute @workgroup_size(BLOCK)
fn forward(@builtin(global_invocation_id) id: vec3u) { y[id.x] = x[ids[id.x]].x * f32(params.rows); z[id.x] = 0.0; }`,
    "sample",
  );
  const sizes = { rows: 8, channels: 32 };

  test("gives each buffer its elements and type", () => {
    expect(bufferElements(kernel, "x", sizes)).toEqual({ count: 256, type: "f32" });
    expect(bufferElements(kernel, "ids", sizes)).toEqual({ count: 8, type: "u32" });
    expect(bufferElements(kernel, "y", sizes)).toEqual({ count: 272, type: "f32" });
    expect(bufferElements(kernel, "y", { ...sizes, y: 12 })).toEqual({ count: 12, type: "f32" });
    expect(bufferElements(kernel, "z", sizes)).toEqual({ count: 8, type: "f32" });
    expect(() => bufferElements(kernel, "x", { rows: 8 })).toThrow("give it with --size channels=");
  });

  test("launches an invocation an element unless told otherwise", () => {
    expect(groupsOf(kernel, "forward", sizes)).toEqual([5, 1, 1]);
    expect(groupsOf(kernel, "forward", { ...sizes, BLOCK: 16 })).toEqual([17, 1, 1]);
    expect(groupsOf(kernel, "forward", { ...sizes, groups: 3, groups_y: 2 })).toEqual([3, 2, 1]);
  });
});

test("numbers are shown with three digits", () => {
  expect([0, 0.01234, 1.2345, 123.45, 98765].map(digits)).toEqual(["0", "0.0123", "1.23", "123", "98765"]);
  const columns = [{ name: "norm", label: "norm" }];
  expect(scenarioCells(columns, [{ norm: 1.25e-9 }, { norm: 64 }, {}])).toEqual([["1.3e-9"], ["64"], ["-"]]);
});

test("every line has a name of its own, and bytes", () => {
  const names = LINES.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
  expect(LINES.filter(({ bytes, flops }) => !(bytes > 0 && flops >= 0))).toEqual([]);
  const families = new Set(names.map((name) => name.split("/")[0]));
  expect([...families].sort()).toEqual(
    ["attention", "elementwise", "embedding", "loss", "matmul", "norm", "optimizer", "random", "reduce"].concat([
      "retention",
      "rnn",
      "sample",
      "scan",
      "shape",
      "softmax",
      "step",
      "wkv",
    ]),
  );
});

test("every scenario has columns for what its pictures show", () => {
  expect(SCENARIOS.length).toBeGreaterThan(7);
  for (const { name, columns, pictures } of SCENARIOS) {
    const known = columns.map((column) => column.name);
    const used = pictures.flatMap(({ x, y, series }) => [x, y, ...(series ? [series] : [])]);
    expect(pictures.length, name).toBeGreaterThan(0);
    expect(known, name).toEqual(expect.arrayContaining(used));
  }
});

test("names in the roofline plot are placed beside their points, and left out where they would cover others", () => {
  const point = (name: string, intensity: number, gflops: number) => ({ name, intensity, gflops });
  const points = [
    point("alone", 1, 1),
    point("crowded a", 10, 10),
    point("crowded b", 10, 10.1),
    point("edge", 99, 50),
  ];
  const placed = placeLabels(points, [0.1, 100], [0.1, 100]);
  expect(placed.map(({ name, side }) => `${name} ${side}`)).toEqual([
    "alone left",
    "crowded a left",
    "crowded b right",
    "edge right",
  ]);
  expect(placeLabels([...points, point("crowded c", 10, 10)], [0.1, 100], [0.1, 100])).toHaveLength(4);
});
