/**
 * No kernel has a data race: small shapes in lockstep, through every entry point that the interpreter can run. Each
 * that it cannot is named here with the reason, and the list is kept true: who can be run must leave it.
 */
import { describe, expect, test } from "vitest";
import { describe as describeKernel } from "../../kernels/describe.ts";
import { kernelNames, loadKernel } from "../../kernels/plugin.ts";
import { type LockstepCase, step } from "./lockstep.ts";

const ENTRIES = kernelNames().flatMap((name) =>
  Object.keys(loadKernel({}, name).entries).map((entry) => [name, entry] as const),
);

/** Kernels whose parameters depend on each other; elsewhere any small number will do. */
const CASES: Readonly<Record<string, LockstepCase>> = {
  "attention/backward_bias": { params: { tile: 0 } },
  "attention/backward_keys": { params: { tile: 0 } },
  "attention/backward_queries": { params: { tile: 0 } },
  "attention/direct": { params: { tile: 0 } },
  "attention/direct_keys": { params: { tile: 0 } },
  "attention/direct_queries": { params: { tile: 0 } },
  "attention/forward": { params: { tile: 0 } },
  "matmul/tiled": { knobs: { WIDTH: 4, HEIGHT: 4, DEPTH: 4 } },
  "scan/conv": { params: { dx: 0, dbefore: 512, shares: 1024 } },
  "scan/conv_quads": { params: { spans: 1, dx: 0, dbefore: 128, shares: 256 } },
  "scan/scan_backward": {
    params: { batch: 1, du: 512, ddelta: 1024, dz: 1536, shares_bc: 2048, shares_a: 2560, shares: 3072 },
  },
  "wkv/finish7": { params: { plane: 256 } },
  "wkv/keys7": { params: { plane: 256 } },
  "wkv/mix6": { params: { plane: 256, slopes: 256, ending: 3072 } },
  "wkv/shift": { params: { plane: 256 } },
  "wkv/wkv4": { params: { parts: 1, given: 0, keep: 1, summaries: 64, checkpoints: 256, weights: 1024 } },
  "wkv/wkv4_backward": { params: { parts: 1, checkpoints: 256, weights: 1024, joints: 64, shares: 256 } },
};

const MATRICES = "it knows no += or *= of matrices";
const SUBGROUPS = "it knows no subgroups";
const FLAGS = "it gives all invocations the same bool as an argument of a function";
const PRIVATE = "it keeps private variables once a workgroup";

/** What wgsl_reflect 1.6.0 cannot run: entry point, the reason, and knobs that keep the attempt short. */
const BEYOND: Readonly<Record<string, readonly [reason: string, attempt?: LockstepCase]>> = {
  "attention/backward_keys backward": [MATRICES],
  "attention/backward_queries backward": [MATRICES],
  "attention/direct forward": [MATRICES],
  "attention/direct_keys backward": [MATRICES],
  "attention/direct_queries backward": [MATRICES],
  "attention/forward forward": [MATRICES],
  "matmul/direct_subgroup forward": [SUBGROUPS],
  "matmul/vector_subgroup forward": [SUBGROUPS],
  "sample/sample distribution": [PRIVATE],
  "sample/sample forward": [PRIVATE],
  "sample/top forward": ["it knows no workgroupUniformLoad"],
  "wkv/wkv4_backward backward": [FLAGS],
  "wkv/wkv4_backward joined": [FLAGS],
  "wkv/wkv6 forward": [FLAGS],
  "wkv/wkv6_backward keys": [MATRICES],
  "wkv/wkv7 forward": [FLAGS],
  "wkv/wkv7_backward backward": [FLAGS],
  "wkv/wkv7_keys keys": [MATRICES],
};

const SUM = (barrier: string) => `
@group(0) @binding(0) var<storage, read_write> y: array<f32>; // (64)
var<workgroup> partial: array<f32, 64>;
@compute @workgroup_size(64)
fn forward(@builtin(local_invocation_index) lane: u32) {
  partial[lane] = f32(lane);
  for (var half = 32u; half > 0u; half /= 2u) {
    ${barrier}
    if (lane < half) {
      partial[lane] += partial[lane + half];
    }
  }
  if (lane == 0u) {
    y[0] = partial[0];
  }
}`;

describe("the detector", () => {
  test("finds the race of a sum without barriers, and none with them", () => {
    expect(step(describeKernel(SUM("workgroupBarrier();"), "sum"), "forward")).toEqual({ races: [], errors: [] });
    const { races } = step(describeKernel(SUM(""), "sum"), "forward");
    expect(races[0]).toMatch(/Data race on 'partial'/);
  });

  test("finds neighbours that write one element", () => {
    const source = SUM("workgroupBarrier();").replace("if (lane == 0u)", "if (lane == 1u)");
    expect(step(describeKernel(source.replace("y[0] = partial[0]", "y[0] = 1.0"), "sum"), "forward").races).toEqual([]);
    const both = source.replace("if (lane == 1u) {\n    y[0] = partial[0];", "{\n    y[lane / 2u] = 1.0;");
    expect(step(describeKernel(both, "sum"), "forward").races[0]).toMatch(/Data race on 'y' byte 0/);
  });

  test("finds a barrier that some invocations do not reach", () => {
    const source = SUM("if (lane < 32u) { workgroupBarrier(); }");
    expect(step(describeKernel(source, "sum"), "forward").errors.join()).toMatch(/Barrier divergence/);
  });
});

const TOO_SLOW_MS = 60_000;

describe("every entry point", () => {
  const runnable = ENTRIES.filter(([name, entry]) => !(`${name} ${entry}` in BEYOND));

  test.each(runnable)("%s %s has no race", (name, entry) => {
    expect(step(loadKernel({}, name), entry, CASES[name])).toEqual({ races: [], errors: [] });
  });

  test.each(Object.entries(BEYOND))(
    "%s cannot be run: %s",
    (key, [, attempt]) => {
      const [name, entry] = key.split(" ") as [string, string];
      const { races, errors } = step(loadKernel({}, name), entry, { ...CASES[name], ...attempt });
      expect(races.length + errors.length).toBeGreaterThan(0);
    },
    TOO_SLOW_MS,
  );
});
