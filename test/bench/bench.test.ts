/** What takes the bench several runs: comparing, watching, two files of one kernel. */
import { spawn } from "node:child_process";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { Report } from "../../bench/job.ts";
import { isTimed } from "../../bench/measure.ts";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";
import { openBench } from "../support/bench.ts";

const { folder, bench, close } = openBench();
const kept = `test-${process.pid}`;
const keptFile = join(import.meta.dirname, "../../bench/report/runs", `${kept}.json`);
afterAll(() => {
  close();
  rmSync(keptFile, { force: true });
});

const KERNEL = `override BLOCK: u32 = 64u;
struct Params { N: u32, }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;       // (N)
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // (N)
@compute @workgroup_size(BLOCK)
fn forward(@builtin(global_invocation_id) id: vec3u) { if (id.x < params.N) { y[id.x] = x[id.x] + 1.0; } }
`;

describe.skipIf("missing" in findVulkan(await findChrome()))("npm run bench", () => {
  test("fails a line that is slower than a kept run by more than allowed", () => {
    bench("--filter", "elementwise/add", "--save", kept);
    const before = JSON.parse(readFileSync(keptFile, "utf8")) as Report;
    const [line] = before.results;
    if (!line || !isTimed(line)) throw new Error("the run kept no timed line");
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
      // As many editors save: another file in the place of the old one, twice.
      for (const name of ["nothing", "nowhere"]) {
        writeFileSync(`${file}.part`, KERNEL.replace("+ 1.0;", `+ ${name};`));
        renameSync(`${file}.part`, file);
        await until(new RegExp(`unresolved value '${name}'`));
      }
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
