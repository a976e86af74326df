import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { attention } from "../../src/ops/attention/attention.ts";
import { attentionPacked } from "../../src/ops/attention/packed.ts";
import { tileBytes, tileFor } from "../../src/ops/attention/tiles.ts";
import { empty, ones } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";

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
  expect(() => attentionPacked(x(1, 3, 25), 4)).toThrow("25 columns do not divide into 4 + 2 x 4 heads");
});
