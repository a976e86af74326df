/** The self-check of a device: right here, complete, and not to be fooled. */
import { beforeAll, expect, test, vi } from "vitest";
import { record } from "../../src/autograd/graph.ts";
import { noGrad } from "../../src/autograd/mode.ts";
import { type Check, differentiated } from "../../src/check/check.ts";
import { numbers, ref } from "../../src/check/reference.ts";
import { checks, checkTable, selfCheck } from "../../src/check/selfCheck.ts";
import { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { mul } from "../../src/ops/binary.ts";
import { affine, exp } from "../../src/ops/unary.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const files = import.meta.glob<{ default: Kernel }>("../../kernels/**/*.wgsl", { eager: true });

const entries = Object.values(files).flatMap(({ default: kernel }) =>
  Object.keys(kernel.entries).map((entry) => `${kernel.name} ${entry}`),
);

/** What an emulation does not launch: what uses workgroup memory, and a GPU takes in place of something else. */
const FOR_GPUS =
  /^((attention\/(forward|backward_keys|backward_queries)|matmul\/(tiled|vector_subgroup|combine)|shape\/transpose) |wkv\/wkv4(_backward)? joined$)/;
/** What it launches in place of them. */
const FOR_EMULATIONS = /^(attention\/direct(_keys|_queries)?|matmul\/direct(_subgroup)?) /;

/** The entry points that a check should have launched, and did not; `others` are for other devices. */
function missing(calls: readonly Parameters<Device["dispatch"]>[], others: RegExp): string[] {
  const launched = new Set(calls.map(([kernel, entry]) => `${kernel.name} ${entry}`));
  return entries.filter((entry) => !launched.has(entry) && !others.test(entry));
}

test("every check passes, and together they launch every entry point", { timeout: 300_000 }, async () => {
  const dispatch = vi.spyOn(device, "dispatch");
  const live = device.stats.memory.live;
  const told: number[] = [];
  const results = await selfCheck(device, { onResult: (_, done) => told.push(done) });
  const { calls } = dispatch.mock;
  dispatch.mockRestore();
  expect(results.filter(({ passed }) => !passed)).toEqual([]);
  expect(results.map(({ name }) => name)).toEqual(checks.map(({ name }) => name));
  expect(told).toEqual(checks.map((_, i) => i + 1));
  expect(device.stats.memory.live).toBe(live);
  expect(missing(calls, device.software ? FOR_GPUS : FOR_EMULATIONS)).toEqual([]);
});

test("on a GPU, which takes other kernels, they launch every entry point too", async () => {
  const gpu = new Device(device.gpu, device.info, false, false);
  // Only what would be launched counts here: an emulation compiles some of it for minutes.
  const dispatch = vi.spyOn(gpu, "dispatch").mockImplementation(() => {});
  await selfCheck(gpu);
  expect(missing(dispatch.mock.calls, FOR_EMULATIONS)).toEqual([]);
});

const inputs = [numbers([9], -1, 1, 1)];
const exponential = (x: number) => Math.exp(x);
const sound = (name: string, op: (x: Tensor) => Tensor<"f32">, f: (x: number) => number): Check =>
  differentiated(
    name,
    inputs,
    () => (x) => op(x!),
    (x) => ref(x!.shape, [...x!.data].map(f)),
  );

/** e^x whose gradient is a tenth too large. */
function badlyDifferentiated(x: Tensor): Tensor<"f32"> {
  const y = noGrad(() => exp(x));
  record("bad", [y], [x], [y], ([dy], _sink, [y]) => [dy && y ? affine(mul(dy, y), 1.1) : null]);
  return y;
}

test("a wrong value, a wrong gradient and an error are each told, and the others still run", async () => {
  const thrown: Check = {
    name: "throws",
    run: () => Promise.reject(new Error("no | such\nkernel")),
  };
  const results = await selfCheck(device, {
    checks: [
      sound("right", exp, exponential),
      sound("wrong reference", exp, (x) => Math.exp(x) * 1.001),
      sound("not finite", (x) => affine(exp(affine(x, 500)), 1e30), exponential),
      sound("wrong gradient", badlyDifferentiated, exponential),
      thrown,
      sound("right again", exp, exponential),
    ],
  });
  expect(results.map(({ passed }) => passed)).toEqual([true, false, false, false, false, true]);
  const [right, value, , gradient, error] = results;
  expect(right).toMatchObject({ fault: null, backward: expect.any(Number) });
  expect(value?.forward).toBeGreaterThan(1);
  expect(gradient).toMatchObject({ fault: "gradient 0 came out wrong" });
  expect(gradient?.forward).toBeLessThan(1);
  expect(gradient?.backward).toBeGreaterThan(1);
  expect(error?.fault).toBe("no | such\nkernel");
  const table = checkTable(results, "Test GPU");
  expect(table.split("\n")[0]).toMatch(/^Test GPU: 4 of 6 wrong\. /);
  expect(table).toContain("WRONG: no \\| such kernel");
  const widths = table
    .split("\n")
    .slice(2)
    .map((line) => line.length);
  expect(new Set(widths).size).toBe(1);
});

test("it ends early when it is told to", async () => {
  const stop = new AbortController();
  const results = await selfCheck(device, {
    checks: Array.from({ length: 30 }, (_, i) => sound(`number ${i}`, exp, exponential)),
    signal: stop.signal,
    onResult: () => stop.abort(),
  });
  expect(results.length).toBeLessThan(10);
});
