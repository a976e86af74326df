import { describe, expect, it } from "vitest";
import { parseOptions } from "../../bench/peers/options.ts";
import { compare } from "../../bench/peers/page/compare.ts";
import type { Report, Round, Timing } from "../../bench/peers/record.ts";
import { attention, gptLoss, lstmLoss, wkv } from "../../bench/peers/reference/models.ts";
import * as t from "../../bench/peers/reference/tape.ts";
import { pool } from "../../bench/peers/rounds.ts";
import { refusal, tables } from "../../bench/peers/table.ts";
import type { Floats, GptTrain, LstmTrain, Wkv } from "../../bench/peers/workloads.ts";
import { numbers } from "../support/reference.ts";

type Leaves = Record<string, t.Value>;

/** Compares every gradient of sum(f weights) with central differences. */
function expectGradients(shapes: Readonly<Record<string, readonly number[]>>, f: (leaves: Leaves) => t.Value): void {
  const leaves = Object.fromEntries(
    Object.entries(shapes).map(([name, shape], i) => [name, t.leaf(numbers(shape, -1, 1, i + 1))]),
  );
  const weights = numbers(f(leaves).shape, -1, 1, 99).data;
  const total = () => f(leaves).data.reduce((sum, y, i) => sum + y * weights[i], 0);
  t.forgetTape();
  t.backward(f(leaves), weights);
  for (const [name, { data, grad }] of Object.entries(leaves)) {
    for (const i of data.keys()) {
      const before = data[i];
      const step = 1e-5;
      data[i] = before + step;
      const above = total();
      data[i] = before - step;
      const below = total();
      data[i] = before;
      expect(grad[i], `${name}[${i}]`).toBeCloseTo((above - below) / (2 * step), 6);
    }
  }
}

const ids = (shape: readonly number[], below: number) => ({
  shape,
  data: Int32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => (7 * i + 3) % below),
});

describe("the peers' float64 reference", () => {
  it("differentiates causal attention", () => {
    const shape = [1, 2, 3, 2];
    expectGradients({ q: shape, k: shape, v: shape }, ({ q, k, v }) => attention(q, k, v));
  });

  it("differentiates the WKV sum", () => {
    const workload = { kind: "wkv", sizes: { B: 2, T: 3, C: 2, backward: true } } as Wkv;
    expectGradients({ w: [2], u: [2], k: [2, 3, 2], v: [2, 3, 2] }, ({ w, u, k, v }) => wkv({ w, u, k, v }, workload));
  });

  it("differentiates the LSTM language model", () => {
    const [V, E, H, B, T] = [3, 2, 2, 2, 3];
    const inputs = { ids: ids([B, T], V), targets: ids([B, T], V) };
    const workload = { kind: "lstmTrain", sizes: { V, E, H, B, T }, inputs } as LstmTrain;
    expectGradients({ emb: [V, E], wx: [E, 4 * H], wh: [H, 4 * H], b: [4 * H], wo: [H, V], bo: [V] }, (p) =>
      lstmLoss(p as Parameters<typeof lstmLoss>[0], workload),
    );
  });

  it("differentiates the transformer", () => {
    const [V, C, L, NH, B, T] = [3, 4, 1, 2, 1, 3];
    const inputs = { ids: ids([B, T], V), targets: ids([B, T], V) };
    const parameters: Record<string, Floats> = {};
    const workload: GptTrain = { kind: "gptTrain", sizes: { V, C, L, NH, B, T }, inputs, parameters };
    const layer = { ln1g: [C], ln1b: [C], wqkv: [C, 3 * C], bqkv: [3 * C], wo: [C, C], bo: [C], ln2g: [C], ln2b: [C] };
    const inner = { w1: [C, 4 * C], b1: [4 * C], w2: [4 * C, C], b2: [C] };
    const own = Object.entries({ ...layer, ...inner }).map(([name, shape]) => [`l0_${name}`, shape]);
    const shapes = { tok: [V, C], pos: [T, C], ...Object.fromEntries(own), lnfg: [C], lnfb: [C], head: [C, V] };
    expectGradients(shapes, (p) => gptLoss(p, workload));
  });
});

describe("comparison with the reference", () => {
  const wanted = { y: Float64Array.of(1, -4), dx: Float64Array.of(0, 0) };

  it("gives the worst error over the output's largest value", () => {
    expect(compare({ y: [1, -3], dx: [0, 0] }, wanted)).toEqual({ error: 0.25, where: "y" });
  });

  it.each([
    ["a missing output", { y: [1, -4] }],
    ["a wrong length", { y: [1], dx: [0, 0] }],
    ["a value that is no number", { y: [1, Number.NaN], dx: [0, 0] }],
  ])("never passes %s", (_, outputs) => {
    expect(compare(outputs, wanted).error).toBeNaN();
  });
});

/** What a round and a timing both say. */
const CHECKED = {
  prepareMs: 1,
  first: { ms: 50, pipelines: 3 },
  error: 0,
  where: "y",
  right: true,
  counts: { dispatches: 2, submits: 1, maps: 0, pipelines: 0, writes: 0, copies: 0, buffers: 0 },
};

describe("the report", () => {
  const timing: Timing = {
    ...CHECKED,
    reps: 5,
    medianMs: 10,
    quartilesMs: [9, 11],
    leastMs: 8,
    pipelinedMs: 9.5,
    peakBytes: 2 ** 20,
  };
  const report = (...cells: Report["cells"]): Report => ({
    date: "2026-01-01T00:00:00.000Z",
    command: "npm run bench:peers",
    browser: "Chrome",
    adapter: "google swiftshader",
    machine: "2 x CPU",
    load: 0,
    versions: {},
    options: { rounds: 2, reps: 5, budgetMs: 1, timeoutMs: 1 },
    sizes: {},
    cells,
  });

  it("relates every time to the fastest peer that is right", () => {
    const text = tables(
      report(
        { workload: "matmul512", peer: "ostinato", measurement: timing },
        { workload: "matmul512", peer: "jax-webgpu", measurement: { ...timing, medianMs: 30 } },
        { workload: "matmul512", peer: "tfjs-webgpu", measurement: { ...timing, medianMs: 5, right: false, error: 1 } },
      ),
    );
    expect(text).toContain("| matmul512 | 10.0 (0.33x) | 30.0 (1.00x) | 5.00 WRONG |");
    expect(text).toContain("| matmul512 | 3.00x | WRONG |");
    expect(text).toContain("tfjs-webgpu: wrong: y, error 1.0e+0 (matmul512)");
    expect(text).toContain("adapter GOOGLE SWIFTSHADER,");
    expect(text).toContain("A CPU EMULATION");
  });

  it("is not begun on an emulation where hardware was asked for", () => {
    expect(refusal("google swiftshader", true)).toContain("no hardware adapter was found, only GOOGLE SWIFTSHADER;");
    expect(refusal("none", true)).toContain("only none");
    expect([refusal("google swiftshader", false), refusal("nvidia ada", true)]).toEqual([null, null]);
  });

  it("says what was not measured, and why", () => {
    const text = tables(
      report(
        { workload: "wkv_fwd", peer: "ort-webgpu", measurement: { skipped: "no gradients" } },
        { workload: "gpt_train", peer: "ort-webgpu", measurement: { failed: "Error: lost" } },
      ),
    );
    expect(text).toContain("- ort-webgpu: no gradients (wkv_fwd)");
    expect(text).toContain("- ort-webgpu: failed: Error: lost (gpt_train)");
  });
});

describe("the rounds of a cell", () => {
  const round: Round = {
    ...CHECKED,
    error: 1e-6,
    timesMs: [4, 2, 3],
    pipelinedMs: 2,
    peakBytes: 100,
    tokens: 64,
    flop: 8e6,
  };

  it("are taken together, but for the first step, which the browser remembers", () => {
    const second = { ...round, first: { ms: 5, pipelines: 0 }, timesMs: [10, 8], pipelinedMs: 4, peakBytes: 200 };
    expect(pool([round, second])).toMatchObject({
      ...{ first: round.first, reps: 5, medianMs: 4, quartilesMs: [3, 8], leastMs: 2, pipelinedMs: 3, peakBytes: 200 },
      ...{ tokensPerSecond: 16_000, gflops: 2 },
    });
  });

  it("are wrong if one was, and failed if one did", () => {
    const wrong = { ...round, right: false, error: Number.NaN, where: "dx" };
    expect(pool([round, wrong, round])).toMatchObject({ right: false, error: Number.NaN, where: "dx" });
    expect(pool([round, { failed: "lost" }])).toEqual({ failed: "lost" });
  });
});

describe("the command line", () => {
  it("chooses peers and workloads in the table's order", () => {
    const options = parseOptions(["--peers", "raw-wgsl,ostinato", "--workloads", "lstm_train", "--reps", "3"]);
    if (options === "help") throw new Error("not asked for");
    expect(options.peers.map(({ name }) => name)).toEqual(["ostinato", "raw-wgsl"]);
    expect(options.workloads).toEqual(["lstm_train"]);
    expect(options.timing.reps).toBe(3);
  });

  it("names what it does not know", () => {
    expect(() => parseOptions(["--workloads", "lstm"])).toThrow("--workloads: there is no lstm; use matmul512");
    expect(() => parseOptions(["--reps", "many"])).toThrow("--reps is many; use a number above 0");
  });
});
