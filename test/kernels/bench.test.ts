/** The bench from its command line, in Node: it times what is right, and refuses to time what is not. */
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Report } from "../../bench/job.ts";
import type { Line } from "../../bench/line.ts";
import { findClock, isTimed, measureLine } from "../../bench/measure.ts";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { add } from "../../src/ops/binary.ts";
import { tensor } from "../../src/tensor/create.ts";
import { getGpu } from "../support/device.ts";

const folder = mkdtempSync(join(tmpdir(), "bench-"));
const kept = `test-${process.pid}`;
const keptFile = join(import.meta.dirname, "../../bench/report/runs", `${kept}.json`);
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  rmSync(keptFile, { force: true });
});

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
    const { status, text, report } = bench("--filter", "elementwise/add", "--save", kept);
    expect(text).toMatch(/EMULATION|adapter/);
    expect(status).toBe(0);
    const { results, roofline, machine } = report();
    expect(results.map(({ name }) => name)).toEqual(["elementwise/add/1048576"]);
    expect(results.every((result) => isTimed(result) && result.median > 0 && result.dispatches === 1)).toBe(true);
    expect(Math.min(...Object.values(roofline!))).toBeGreaterThan(0);
    if (machine.software) expect(text).toContain("SWIFTSHADER");
  });

  test("times no line whose result is wrong, and says all of one that is right", async () => {
    const device = await openDevice({ gpu: await getGpu() });
    const clock = await findClock(device);
    const values = Float32Array.from({ length: 1000 }, (_, i) => i);
    const line = (sum: (x: number, i: number) => number): Line => ({
      ...{ name: "sum", flops: 1000, bytes: 12000 },
      prepare(on) {
        const x = tensor(on, values);
        return { inputs: [x], run: () => [add(x, x)], expected: () => [values.map(sum)] };
      },
    });
    const options = { budgetMs: 20, samples: 5 };
    const wrong = await measureLine(
      device,
      line((x, i) => (i === 31 ? 0 : 2 * x)),
      clock,
      options,
    );
    expect(wrong).toEqual({ name: "sum", error: "WRONG at index 31 of output 0: 62 instead of 0 (1 of 1000 wrong)" });
    const right = await measureLine(
      device,
      line((x) => 2 * x),
      clock,
      options,
    );
    if (!isTimed(right)) throw new Error(right.error);
    const { low, median, high, count, repeats, scriptUs, compileMs, firstMs, dispatches, peakBytes } = right;
    expect(low <= median && median <= high).toBe(true);
    expect(count).toBeGreaterThanOrEqual(3);
    expect(Math.min(low, repeats, scriptUs, firstMs)).toBeGreaterThan(0);
    expect(compileMs).toBeGreaterThanOrEqual(0);
    expect([dispatches, peakBytes]).toEqual([1, expect.toSatisfy((bytes: number) => bytes >= 8000)]);
    device.destroy();
  });

  test("fails a line that is slower than a kept run by more than allowed", () => {
    const before = JSON.parse(readFileSync(keptFile, "utf8")) as Report;
    const [line] = before.results;
    if (!line || !isTimed(line)) throw new Error("the first test keeps a timed line");
    const faster = { ...line, median: line.median / 100, low: line.low / 100, high: line.high / 100 };
    writeFileSync(keptFile, JSON.stringify({ ...before, results: [faster] }));
    const { status, text } = bench("--filter", "elementwise/add", "--compare", kept, "--max-regression", "50%");
    expect(text).toMatch(/elementwise\/add\/1048576 +[\d.]+x +slower/);
    expect(status).toBe(1);
  });

  test("runs again when a watched kernel is saved", async () => {
    const file = join(folder, "watched.wgsl");
    writeFileSync(file, KERNEL);
    const line = ["scripts/run.mjs", "bench/run.ts", "--runtime", "node", "--quick", "--watch"];
    const child = spawn(process.execPath, [...line, "--kernel", file, "--size", "N=1000"], { detached: true });
    let text = "";
    let heard = () => {};
    for (const stream of [child.stdout, child.stderr])
      stream.on("data", (data) => {
        text += data;
        heard();
      });
    const until = (pattern: RegExp) =>
      new Promise<void>((resolve) => {
        heard = () => {
          if (pattern.test(text)) resolve();
        };
        heard();
      });
    try {
      await until(/index\.html/);
      text = "";
      writeFileSync(file, KERNEL.replace("+ 1.0;", "+ nothing;"));
      await until(/unresolved value 'nothing'/);
    } finally {
      process.kill(-(child.pid as number), "SIGKILL"); // the run that it started, too
    }
  }, 180_000);

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
