import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { detach } from "../../src/autograd/graph.ts";
import type { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { attention } from "../../src/ops/attention/attention.ts";
import { naiveAttention } from "../../src/ops/attention/naive.ts";
import { attentionPacked } from "../../src/ops/attention/packed.ts";
import { type AttentionOptions, planOf } from "../../src/ops/attention/plan.ts";
import { type Slice, slicesOf } from "../../src/ops/attention/slices.ts";
import { tileBytes, tileFor } from "../../src/ops/attention/tiles.ts";
import { empty, ones, tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { numbers } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

test("memory grows with T, not with its square", async () => {
  const extra = async (T: number, op: typeof attention) => {
    const [q, k, v] = [1, 2, 3].map(() => empty(device, [1, 1, T, 16])) as [Tensor, Tensor, Tensor];
    q.requiresGrad = true;
    const before = device.stats.memory.live;
    device.pool.resetPeak();
    scope(() => {
      const out = op(q, k, v, { window: 8 });
      backward(out, ones(device, out.shape));
    });
    await device.sync();
    const bytes = device.stats.memory.peak - before;
    for (const x of [q, k, v]) x.dispose();
    return bytes;
  };
  // y, dy, dq, dk, dv of 64 bytes a row, two norms and four facts.
  expect(await extra(2048, attention)).toBeLessThan(2048 * 16 * 4 * 8);
  expect(await extra(4096, attention)).toBeLessThan(2.2 * (await extra(2048, attention)));
});

test("16,384 tokens need memory for two numbers a query forward, and four more backward", async () => {
  const [T, D] = [16384, 64];
  const row = D * 4;
  const [q, k, v] = [1, 2, 3].map(() => empty(device, [1, 1, T, D])) as [Tensor, Tensor, Tensor];
  const peakOf = async (run: () => void) => {
    await device.sync();
    const before = device.stats.memory.live;
    device.pool.resetPeak();
    scope(run);
    await device.sync();
    return device.stats.memory.peak - before;
  };
  const forward = await peakOf(() => attention(q, k, v, { causal: true, window: 4 }));
  expect(forward).toBeLessThanOrEqual(T * (row + 2 * 4) + 65536);
  for (const x of [q, k, v]) x.requiresGrad = true;
  const both = await peakOf(() => {
    const y = attention(q, k, v, { causal: true, window: 4 });
    backward(y, detach(y));
  });
  // y, dq, dk and dv; and dk and dv once more, because they were one buffer.
  expect(both).toBeLessThanOrEqual(T * (6 * row + 6 * 4) + 65536);
  for (const x of [q, k, v]) x.dispose();
});

test("needs no extension, and gives the same bits on a device whose subgroups are off", async () => {
  const kernels = import.meta.glob<Kernel>("../../kernels/attention/*.wgsl", { eager: true, import: "default" });
  for (const { name, features } of Object.values(kernels)) expect(features, name).toEqual([]);
  const run = async (on: Device) => {
    const [q, k, v] = [1, 2, 3].map((seed) =>
      tensor(on, Float32Array.from(numbers([1, 2, 37, 8], -2, 2, seed).data), [1, 2, 37, 8]),
    ) as [Tensor, Tensor, Tensor];
    return [...new Uint32Array((await attention(q, k, v, { causal: true }).data()).buffer)];
  };
  const without = await openDevice({ gpu: await getGpu(), without: ["subgroups"] });
  expect(await run(without)).toEqual(await run(device));
  without.destroy();
});

test("heads too large for a tile are attended to without tiles", async () => {
  const leaves = [1, 2, 3].map(() => {
    const leaf = ones(device, [1, 1, 3, 512]);
    leaf.requiresGrad = true;
    return leaf;
  }) as [Tensor, Tensor, Tensor];
  const y = attention(...leaves, { form: "direct" });
  backward(y, ones(device, y.shape));
  expectClose(await y.data(), new Float32Array(3 * 512).fill(1));
  expectClose((await leaves[2].grad?.data()) ?? [], new Float32Array(3 * 512).fill(1));
});

test("launches share the work evenly and leave no tile out", () => {
  const plan = (options: AttentionOptions) => {
    const steps = [0, 0, 0, 64] as const;
    const sizes = { batch: 1, heads: 1, keyHeads: 1, queries: 1000, keys: 1000, size: 64 };
    return planOf("attention", sizes, { q: steps, k: steps, v: steps, y: steps }, options);
  };
  const cut = { rows: "queries", height: 10, products: 2 } as const;
  const work = (slices: readonly Slice[]) => slices.map(({ first, count }) => (count * (2 * first + count)) / 2);
  const causal = slicesOf(plan({ causal: true }), cut, 64 * 2 * 125_000);
  expect(causal.reduce((sum, { first, count }) => (first === sum ? sum + count : Number.NaN), 0)).toBe(100);
  expect(causal).toHaveLength(5);
  expect(Math.max(...work(causal)) / 1250).toBeLessThanOrEqual(1);
  expect(slicesOf(plan({ causal: true }), { ...cut, rows: "keys" }, 64 * 2 * 125_000)).toHaveLength(5);
  expect(slicesOf(plan({ window: [4, 5] }), cut, 64 * 2 * 20_000)).toHaveLength(1);
  expect(slicesOf(plan({ window: [4, 5] }), cut, 64 * 2 * 9_600)).toHaveLength(2);
});

test("tiles fit the workgroup memory of every device", () => {
  for (const pass of ["forward", "backward"] as const)
    for (const size of [1, 7, 16, 20, 32, 64, 80, 96, 128])
      for (const room of [16384, 32768]) {
        const tile = tileFor(pass, size, room);
        expect(tileBytes(pass, tile)).toBeLessThanOrEqual(room);
        expect(tile.WIDTH * tile.COLUMNS * 4).toBeGreaterThanOrEqual(size);
        expect(tile.COLUMNS).toBeLessThanOrEqual(pass === "forward" ? 4 : 2);
        expect(tile.others % 4 === 0 && tile.others <= 4 * tile.WIDTH).toBe(true);
      }
  expect(tileFor("forward", 64, 32768).others).toBeGreaterThan(tileFor("forward", 64, 16384).others);
  expect(() => tileFor("backward", 512, 16384)).toThrow("heads of 512 elements need more than the 16384 bytes");
});

test("refuses what does not fit, in one sentence", () => {
  const x = (...shape: number[]) => empty(device, shape);
  const trained = (...shape: number[]) => {
    const leaf = x(...shape);
    leaf.requiresGrad = true;
    return leaf;
  };
  const q = x(1, 4, 3, 8);
  const k = x(1, 2, 5, 8);
  expect(() => attention(q, x(1, 3, 5, 8), x(1, 3, 5, 8))).toThrow(
    "attention: 4 query heads do not divide into 3 key heads",
  );
  expect(() => attention(q, x(1, 2, 5, 4), x(1, 2, 5, 4))).toThrow("the head sizes 8 and 4 must be equal");
  expect(() => attention(q, x(2, 2, 5, 8), x(2, 2, 5, 8))).toThrow("the batches 1 and 2 must be equal");
  expect(() => attention(q, k, x(1, 2, 4, 8))).toThrow("k is [1, 2, 5, 8] and v is [1, 2, 4, 8]; they must be equal");
  expect(() => attention(x(4, 3, 8), k, k)).toThrow("q is [4, 3, 8] and must have the four axes BHTD");
  expect(() => attention(q, k, k, { window: 0 })).toThrow("a window of 0 keys shows no key");
  expect(() => attention(q, k, k, { window: [-2, 1] })).toThrow("the window [-2, 1] must hold whole numbers");
  expect(() => attention(q, k, k, { scale: Number.NaN })).toThrow("the scale NaN is not finite");
  expect(() => attention(q, k, k, { lengths: empty(device, [2], "u32") })).toThrow("lengths is [2] and must be [1]");
  expect(() => attention(q, k, k, { keyMask: empty(device, [1, 5], "f32") })).toThrow("needs u32 or i32");
  expect(() => attention(q, k, k, { slopes: x(3) })).toThrow("slopes are [3] and must be [4]");
  expect(() => attention(q, k, k, { bias: x(1, 3, 3, 5) })).toThrow(
    "the bias is [1, 3, 3, 5] and must be [1, 4, 3, 5], or 1 in place of 1 or 4 where they share it",
  );
  expect(() => attention(q, k, k, { bias: x(1, 4, 5) })).toThrow("the bias is [1, 4, 5] and must be [1, 4, 3, 5]");
  expect(() => attention(q, k, k, { bias: x(1, 1, 3, 5), slopes: x(4) })).toThrow("both slopes and bias were given");
  expect(() => attention(q, k, k, { launchWork: 0 })).toThrow("launchWork is 0; give a number above 0");
  expect(() => naiveAttention(q, k, k, { bias: trained(1, 1, 3, 5) })).toThrow("its bias gets no gradient");
  expect(() => attentionPacked(x(1, 3, 96), 4, { bias: trained(1, 1, 3, 3) })).toThrow("its bias gets no gradient");
  expect(() => attentionPacked(x(1, 3, 25), 4)).toThrow("25 columns do not divide into 4 + 2 x 4 heads");
});
