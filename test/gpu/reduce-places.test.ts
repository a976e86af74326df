import { beforeAll, expect, test } from "vitest";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { argmax } from "../../src/ops/argmax.ts";
import { countNonFinite } from "../../src/ops/finite.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";
import { numbers } from "../support/reference.ts";

let device: Device;
/** The same, treated as what it is not: an emulation or a GPU. The launches differ. */
let other: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  other = new Device(device.gpu, device.info, !device.software, false);
});

test("argmax takes the lowest of equals, and NaN", async () => {
  const x = tensor(device, [
    [1, 3, 3, -1],
    [Number.NaN, 9, 2, 3],
    [-0, 0, -4, 0],
    [-3, -2, -2, -9],
  ]);
  expect([...(await argmax(x).data())]).toEqual([1, 0, 0, 1]);
  for (const n of [1, 2, 63, 64, 65, 257, 1000]) {
    const values = numbers([5, n], -1, 1, n);
    const expected = [0, 1, 2, 3, 4].map((row) => {
      const part = [...values.data.slice(row * n, row * n + n)];
      return part.indexOf(Math.max(...part));
    });
    const y = argmax(tensor(device, Float32Array.from(values.data), [5, n]));
    expect(y.dtype).toBe("u32");
    expect([...(await y.data())]).toEqual(expected);
  }
});

test("countNonFinite finds NaN and both infinities", async () => {
  const count = (x: Tensor) => countNonFinite(x).item();
  expect(
    await count(tensor(device, [1, Number.NaN, Number.POSITIVE_INFINITY, -3.4e38, Number.NEGATIVE_INFINITY])),
  ).toBe(3);
  expect(await count(zeros(device, [0]))).toBe(0);
  for (const on of [device, other]) {
    for (const n of [1, 255, 257, 100_001]) {
      const values = new Float32Array(n).fill(3.4e38);
      expect(await count(tensor(on, values))).toBe(0);
      values[n - 1] = Number.NaN;
      values[n >> 1] = Number.NEGATIVE_INFINITY;
      expect(await count(tensor(on, values))).toBe(n === 1 ? 1 : 2);
    }
  }
});
