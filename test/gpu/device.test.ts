import { afterEach, beforeEach, expect, test } from "vitest";
import accumulateKernel from "../../kernels/elementwise/accumulate.wgsl";
import fillKernel from "../../kernels/elementwise/fill.wgsl";
import type { Device } from "../../src/gpu/device.ts";
import { DeviceLostError, DisposedError, GpuError, LimitError, ShapeError, ValueError } from "../../src/gpu/errors.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { profile } from "../../src/gpu/timing.ts";
import { add } from "../../src/ops/binary.ts";
import { affine } from "../../src/ops/unary.ts";
import { capture } from "../../src/tensor/capture.ts";
import { empty, full, tensor, zeros } from "../../src/tensor/create.ts";
import { keep, scope } from "../../src/tensor/scope.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeEach(async () => {
  device = await openDevice({ gpu: await getGpu() });
});
afterEach(() => device.destroy());

test("reads made together share one submit and one map, and see everything recorded before", async () => {
  const a = full(device, [5], 1);
  const b = affine(a, 2, 1);
  const [x, y] = await Promise.all([a.data(), b.data()]);
  expect([...x]).toEqual([1, 1, 1, 1, 1]);
  expect([...y]).toEqual([3, 3, 3, 3, 3]);
  expect(device.stats).toMatchObject({ submits: 1, readBacks: 1, dispatches: 2 });
});

test("a host write waits for the work recorded before it", async () => {
  const x = tensor(device, [1, 2, 3]);
  const before = affine(x, 10);
  x.write([4, 5, 6]);
  const after = affine(x, 10);
  expect([...(await before.data())]).toEqual([10, 20, 30]);
  expect([...(await after.data())]).toEqual([40, 50, 60]);
});

test("memory given back is not overwritten while recorded work still reads it", async () => {
  const x = tensor(device, [1, 2, 3]);
  const y = affine(x, 2);
  x.dispose();
  // Would take the block of x, into which the host writes at once.
  const z = tensor(device, [7, 8, 9]);
  expect([...(await y.data())]).toEqual([2, 4, 6]);
  expect([...(await z.data())]).toEqual([7, 8, 9]);
});

test("blocks are reused, live and peak bytes are counted, trim gives the rest back", async () => {
  const a = zeros(device, [1000]);
  const { live } = device.stats.memory;
  a.dispose();
  expect(device.stats.memory.live).toBe(0);
  const b = zeros(device, [1001]);
  expect(device.stats.memory).toMatchObject({ live, peak: live, reserved: live });
  b.dispose();
  await device.sync();
  expect(device.trim()).toBe(live);
  expect(device.stats.memory).toMatchObject({ live: 0, reserved: 0 });
});

test("a plan reuses memory inside itself, keeps its inputs alive, and gives all back", async () => {
  const x = tensor(device, new Float32Array(1000).fill(1));
  const { live } = device.stats.memory;
  const plan = await capture(device, () => {
    let y = affine(x, 1, 1);
    for (let i = 1; i < 20; i++) {
      const next = affine(y, 1, 1);
      y.dispose();
      y = next;
    }
    return y;
  });
  expect(device.stats.memory.live).toBe(3 * live);
  x.dispose();
  const filler = full(device, [1000], 50);
  plan.replay();
  expect((await plan.outputs.data())[999]).toBe(21);
  plan.outputs.dispose();
  plan.dispose();
  filler.dispose();
  expect(device.stats.memory.live).toBe(0);
  expect(() => plan.replay()).toThrow(DisposedError);
});

test("host values inside a captured function are constants of the plan, whatever the pool does meanwhile", async () => {
  const x = tensor(device, [1, 2, 3]);
  const plan = await capture(device, () => add(x, tensor(device, [10, 20, 30])));
  const others = Array.from({ length: 4 }, () => tensor(device, [0, 0, 0]));
  plan.replay();
  expect([...(await plan.outputs.data())]).toEqual([11, 22, 33]);
  plan.outputs.dispose();
  plan.dispose();
  for (const other of [x, ...others]) other.dispose();
  expect(device.stats.memory.live).toBe(0);
});

test("what a turn replays and reads back goes out as one submit; without a read-back it goes out as well", async () => {
  const x = zeros(device, [4]);
  const plan = await capture(device, () => affine(x, 1, 1));
  await device.sync();
  const { submits } = device.stats;
  plan.replay();
  expect([...(await plan.outputs.data())]).toEqual([1, 1, 1, 1]);
  expect(device.stats.submits).toBe(submits + 1);
  plan.replay();
  await Promise.resolve();
  expect(device.stats.submits).toBe(submits + 2);
});

test("many replays in one turn are sent before the turn ends", async () => {
  const x = zeros(device, [4]);
  const plan = await capture(device, () => {
    for (let i = 0; i < 100; i++) affine(x, 1, 1);
    return null;
  });
  await device.sync();
  const { submits } = device.stats;
  for (let i = 0; i < 7; i++) plan.replay();
  expect(device.stats.submits).toBe(submits + 1);
  await device.sync();
  expect(device.stats.submits).toBe(submits + 2);
});

test("inside a captured function, reads, writes, nested captures and promises are refused", async () => {
  const x = tensor(device, [1]);
  await expect(capture(device, () => x.write([2]))).rejects.toThrow(/before replay/);
  const other = await capture(device, () => affine(x, 2));
  await expect(capture(device, () => other.replay())).rejects.toThrow(ValueError);
  await expect(capture(device, async () => x)).rejects.toThrow(/async/);
  let read: Promise<unknown> = Promise.resolve();
  await capture(device, () => {
    read = x.data();
    return null;
  });
  await expect(read).rejects.toThrow(/captured function/);
  // The device works as before.
  expect(await affine(x, 3).item()).toBe(3);
});

test("what cannot be bound is refused at the call, naming binding and cure", async () => {
  const x = tensor(device, [1, 2, 3, 4]);
  const groups = [1] as const;
  expect(() => device.dispatch(accumulateKernel, "accumulate", { x, y: x }, { words: 1 }, groups)).toThrow(
    /same memory/,
  );
  const gone = tensor(device, [1]);
  gone.dispose();
  expect(() => device.dispatch(fillKernel, "fill", { y: gone }, { words: 1, bits: 0 }, groups)).toThrow(DisposedError);
  const other = await openDevice({ gpu: await getGpu() });
  const foreign = tensor(other, [1, 2, 3, 4]);
  expect(() => add(x, foreign)).toThrow(ShapeError);
  expect(() => device.dispatch(fillKernel, "fill", { y: foreign }, { words: 1, bits: 0 }, groups)).toThrow(
    /another device/,
  );
  other.destroy();
  expect(() => device.dispatch(fillKernel, "fill", { y: x }, { words: 1, bits: 0 }, [70_000, 70_000])).toThrow(
    ValueError,
  );
});

test("sizes over the device's limits are refused before memory is taken", () => {
  const tooMuch = device.limits.maxStorageBufferBindingSize / 4 + 1;
  expect(() => empty(device, [tooMuch])).toThrow(LimitError);
  expect(() => empty(device, [2, -1])).toThrow(ValueError);
  expect(device.stats.memory.live).toBe(0);
});

test("a kernel that does not compile says which and where; later work runs", async () => {
  const broken: Kernel = {
    ...fillKernel,
    name: "broken",
    source: fillKernel.source.replace("vec4u(params.bits)", "1.5"),
  };
  const y = keep(zeros(device, [4]));
  device.dispatch(broken as typeof fillKernel, "fill", { y }, { words: 1, bits: 0 }, [1]);
  await expect(y.data()).rejects.toThrow(/broken\.fill: the kernel did not compile: .*line \d+/);
  expect([...(await y.data())]).toHaveLength(4);
});

test("an error that WebGPU reports later reaches the next wait", async () => {
  device.gpu.createBuffer({ size: 4, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
  await new Promise((resolve) => setTimeout(resolve, 50));
  await expect(device.sync()).rejects.toThrow(GpuError);
  await device.sync();
});

test("every wait settles when the device goes, and everything after says so", async () => {
  const x = zeros(device, [4]);
  const waits = [x.data(), device.sync(), capture(device, () => affine(x, 2))];
  device.destroy();
  for (const wait of waits) await expect(wait).rejects.toThrow(DeviceLostError);
  await expect(device.lost).resolves.toMatchObject({ reason: "destroyed" });
  expect(() => affine(x, 2)).toThrow(DeviceLostError);
  expect(() => tensor(device, [1])).toThrow(DeviceLostError);
});

test("a device of one's own is used as it is and outlives the engine", async () => {
  const adapter = await (await getGpu()).requestAdapter();
  const gpu = (await adapter?.requestDevice()) as GPUDevice;
  const own = await openDevice({ device: gpu });
  expect(await full(own, [1], 3).item()).toBe(3);
  own.destroy();
  const again = await openDevice({ device: gpu });
  expect(await full(again, [1], 4).item()).toBe(4);
  again.destroy();
  gpu.destroy();
});

test("profile times each launch", async () => {
  const x = zeros(device, [1024]);
  const times = await profile(device, () => scope(() => affine(affine(x, 2), 3)));
  expect(times.map(({ label }) => label)).toEqual(["elementwise/unary.forward", "elementwise/unary.forward"]);
  for (const { ns } of times) expect(ns).toBeGreaterThanOrEqual(0);
});

test("a launch of 16,777,217 elements is folded over both dimensions", async () => {
  const x = full(device, [16_777_217], 1);
  const y = affine(x, 1, 1);
  const values = await y.data();
  expect([values[0], values[16_776_960], values[16_777_216]]).toEqual([2, 2, 2]);
});
