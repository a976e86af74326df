/** The bench from its command line, in Node: it times what is right, and refuses to time what is not. */
import { afterAll, describe, expect, test } from "vitest";
import { openAdapter } from "../../bench/adapter.ts";
import type { Line } from "../../bench/line.ts";
import { findClock, isTimed, measureLine } from "../../bench/measure.ts";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { add } from "../../src/ops/binary.ts";
import { tensor } from "../../src/tensor/create.ts";
import { openBench } from "../support/bench.ts";
import { getGpu } from "../support/device.ts";

const { bench, close } = openBench();
afterAll(close);

describe.skipIf("missing" in findVulkan(await findChrome()))("npm run bench", () => {
  test("checks and times a line, and says what the device can do", () => {
    const { status, text, report } = bench("--filter", "elementwise/add");
    expect(text).toMatch(/EMULATION|adapter/);
    expect(status).toBe(0);
    const { results, roofline, machine } = report();
    expect(results.map(({ name }) => name)).toEqual(["elementwise/add/1048576"]);
    expect(results.every((result) => isTimed(result) && result.median > 0 && result.dispatches === 1)).toBe(true);
    expect(Math.min(...Object.values(roofline!))).toBeGreaterThan(0);
    expect(results[0]).toHaveProperty(
      "copyGBs",
      expect.toSatisfy((gbs: number) => gbs > 0),
    );
    if (machine.software) expect(text).toContain("SWIFTSHADER");
  });

  test("measures nothing on an adapter of another kind than was asked for", async () => {
    const gpu = await getGpu();
    const device = await openAdapter(gpu, null);
    const [kind, other] = device.software ? (["software", "hardware"] as const) : (["hardware", "software"] as const);
    device.destroy();
    (await openAdapter(gpu, kind)).destroy();
    await expect(openAdapter(gpu, other)).rejects.toThrow(
      other === "hardware" ? /^--adapter hardware: no hardware adapter was found, only [A-Z ]*/ : /which is hardware;/,
    );
    const { status, text } = bench("--filter", "elementwise/add", "--adapter", other);
    expect(text).toContain(`--adapter ${other}: `);
    expect(status).toBe(1);
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
});
