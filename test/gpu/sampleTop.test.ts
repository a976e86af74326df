import { beforeAll, expect, test } from "vitest";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { softmaxTop, topK } from "../../src/ops/sampleTop.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
/** The same device with the launches that a real GPU gets: 256 invocations a row. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

test("topK orders by value, then index; softmaxTop gives probabilities", async () => {
  for (const on of [device, wide]) {
    const { values, ids } = topK(
      tensor(on, [
        [1, 5, 5, 2],
        [0, 0, -1, 0],
      ]),
      3,
    );
    expect([...(await values.data())]).toEqual([5, 5, 2, 0, 0, 0]);
    expect([...(await ids.data())]).toEqual([1, 2, 3, 0, 1, 3]);
  }
  // Equal elements, -inf and a NaN, more of the first than a pass finds, and more that are as good as the list holds.
  const numbers = new Random(5);
  const coarse = Array.from({ length: 1000 }, (_, i) => (i % 97 === 0 ? -Infinity : numbers.integer(50) - 25));
  const crowd = Array.from({ length: 3600 }, (_, i) => (i % 256 < 39 ? 1 : 0) + numbers.uniform());
  for (const [on, row, count] of [
    [device, coarse, 64],
    [wide, coarse, 150],
    [device, coarse, 1000],
    [device, crowd, 40],
  ] as const) {
    const broken = row.with(3, Number.NaN);
    const { values, ids } = topK(tensor(on, [row, broken]), count);
    const best = (from: readonly number[]) =>
      [...from.keys()]
        .filter((i) => !Number.isNaN(from[i]))
        .sort((a, b) => Math.fround(from[b]!) - Math.fround(from[a]!) || a - b)
        .slice(0, count);
    const [first, second] = [best(row), best(broken)];
    const missing = Array.from({ length: count - second.length }, () => 0xffffffff);
    expect([...(await ids.data())]).toEqual([...first, ...second, ...missing]);
    expect([...(await values.data())]).toEqual(
      [...first.map((i) => row[i]!), ...second.map((i) => row[i]!), ...missing.map(() => -1e30)].map(Math.fround),
    );
  }
  const top = softmaxTop(tensor(device, [0, Math.log(3)]), 2);
  expectClose(await top.values.data(), [0.75, 0.25]);
  expect([...(await top.ids.data())]).toEqual([1, 0]);
  expect(() => topK(tensor(device, [1, 2]), 3)).toThrow("topK: the count is 3 and rows have 2 elements");
});
