/** The bench from its command line, in Node: it times what is right, and refuses to time what is not. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Report } from "../../bench/job.ts";
import { isTimed } from "../../bench/measure.ts";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";

const folder = mkdtempSync(join(tmpdir(), "bench-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function bench(...args: string[]) {
  const json = join(folder, "run.json");
  const line = ["scripts/run.mjs", "bench/run.ts", "--runtime", "node", "--quick", "--json", json, ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: "utf8" });
  return { status, text: stdout + stderr, report: () => JSON.parse(readFileSync(json, "utf8")) as Report };
}

const KERNEL = `override BLOCK: u32 = 64u;
struct Params { N: u32, }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // (N)
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // (N)
@compute @workgroup_size(BLOCK)
fn forward(@builtin(global_invocation_id) id: vec3u) { if (id.x < params.N) { y[id.x] = x[id.x] + 1.0; } }
`;

describe.skipIf("missing" in findVulkan(await findChrome()))("npm run bench", () => {
  test("checks and times a line, and says what the device can do", () => {
    const { status, text, report } = bench("--filter", "elementwise/add");
    expect(text).toMatch(/EMULATION|adapter/);
    expect(status).toBe(0);
    const { results, roofline, machine } = report();
    expect(results.map(({ name }) => name)).toEqual(["elementwise/add/1048576"]);
    expect(results.every((result) => isTimed(result) && result.median > 0 && result.dispatches === 1)).toBe(true);
    expect(Math.min(...Object.values(roofline!))).toBeGreaterThan(0);
    if (machine.software) expect(text).toContain("SWIFTSHADER");
  });

  test("gives a kernel that differs no time but its first wrong index", () => {
    const files = ["right.wgsl", "wrong.wgsl"].map((name) => join(folder, name));
    writeFileSync(files[0]!, KERNEL);
    writeFileSync(files[1]!, KERNEL.replace("+ 1.0", "+ select(1.0, 2.0, id.x == 77u)"));
    const { status, report } = bench("--kernel", ...files, "--size", "N=1000");
    expect(status).toBe(1);
    const [right, wrong] = report().results;
    expect(right && isTimed(right)).toBe(true);
    expect(wrong).toMatchObject({ error: expect.stringMatching(/WRONG at index 77 .*\(1 of 1000 wrong\)/) });
  });
});
