import { beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { columnSums } from "../../src/ops/columns.ts";
import { empty, full, tensor } from "../../src/tensor/create.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** Whole numbers, so that float32 sums are exact in any order. */
function numbers(count: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => ((7 * i) % 23) - 11);
}

function expected(x: Float32Array, batch: number, rows: number, columns: number, start: number): number[] {
  const sums = new Array<number>(batch * columns).fill(start);
  for (let i = 0; i < x.length; i++) {
    const at = Math.floor(i / (rows * columns)) * columns + (i % columns);
    sums[at] = (sums[at] as number) + (x[i] as number);
  }
  return sums;
}

test.each([
  [1, 1, 1],
  [1, 5, 3],
  [1, 33, 65],
  [2, 7, 4],
  [3, 256, 5],
  [1, 257, 8],
  [2, 1000, 3],
  [1, 4097, 12],
])("columnSums of %i matrices of %i x %i", async (batch, rows, columns) => {
  const values = numbers(batch * rows * columns);
  const x = tensor(device, values, [batch, rows, columns]);
  const out = full(device, [batch, columns], 100);
  columnSums(x, out, true, batch);
  expect([...(await out.data())]).toEqual(expected(values, batch, rows, columns, 100));
  columnSums(x, out, false, batch);
  expect([...(await out.data())]).toEqual(expected(values, batch, rows, columns, 0));
});

test("columnSums of no rows, of no columns, and of a shape that does not divide", async () => {
  const out = full(device, [3], 7);
  columnSums(empty(device, [0, 3]), out);
  expect([...(await out.data())]).toEqual([0, 0, 0]);
  columnSums(empty(device, [5, 0]), empty(device, [0]));
  expect(() => columnSums(empty(device, [2, 3]), empty(device, [4]))).toThrow(
    "columnSums: [2, 3] does not divide into 1 matrices with the columns of [4]",
  );
});
