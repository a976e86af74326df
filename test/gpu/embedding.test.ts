import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { embedding } from "../../src/ops/embedding.ts";
import { ones, tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const TABLES = [1, 2, 5, 14, 15, 100, 1000];
const IDS = [0, 3, 3, 1, 0, 3, 2];

test.each(TABLES)("a table of %i rows: values and gradient", async (rows) => {
  const ids = IDS.map((id) => (id * 37) % rows);
  for (const channels of [1, 3, 8, 65, 300]) {
    const on = tensor(device, Int32Array.from(ids));
    await checkGradient(
      device,
      (weight) => embedding(weight, on),
      (weight) =>
        ref(
          [ids.length, channels],
          (i) => weight.data[(ids[Math.floor(i / channels)] as number) * channels + (i % channels)] as number,
        ),
      [numbers([rows, channels])],
      { what: "embedding" },
    );
  }
});

async function gradient(rows: number, ids: number[], upstream: number[][], options = {}, times = 1) {
  const weight = zeros(device, [rows, upstream[0]?.length ?? 0]);
  weight.requiresGrad = true;
  for (let i = 0; i < times; i++) {
    scope(() => backward(embedding(weight, tensor(device, Uint32Array.from(ids)), options), tensor(device, upstream)));
  }
  return [...((await weight.grad?.data()) ?? [])];
}

test("repeated ids add up (O17)", async () => {
  const upstream = [
    [1, 10],
    [2, 20],
    [3, 30],
    [4, 40],
  ];
  const pad = (rows: number, values: number[]) => [...values, ...new Array((rows - 4) * 2).fill(0)];
  for (const rows of [4, 9]) {
    expect(await gradient(rows, [0, 0, 2, 0], upstream)).toEqual(pad(rows, [7, 70, 0, 0, 3, 30, 0, 0]));
    expect(await gradient(rows, [0, 0, 2, 0], upstream, { paddingIdx: 0 })).toEqual(
      pad(rows, [0, 0, 0, 0, 3, 30, 0, 0]),
    );
    expect(await gradient(rows, [0, 0, 2, 0], upstream, {}, 3)).toEqual(pad(rows, [21, 210, 0, 0, 9, 90, 0, 0]));
  }
});

test.each([
  [15, 3, 5],
  [16, 1, 8],
  [17, 40, 4],
  [257, 3, 65],
  [1003, 50, 8],
])(
  "%i positions over a table of %i rows of %i: ids go on through stretches, end at their edges, or are unknown",
  async (positions, rows, channels) => {
    // With more rows than any id names the gradient is not left to the one launch for small tables.
    const table = rows + 2 * positions;
    // Frequent ids, rare ones, and some on either side of the table.
    const ids = Array.from({ length: positions }, (_, n) =>
      n % 97 === 5 ? table : Math.floor((((n * 7919) % 1013) / 1013) ** 3 * (rows + 1)) - 1,
    );
    const dy = numbers([positions, channels], -1, 1, 5);
    const expected = new Float64Array(table * channels);
    dy.data.forEach((value, i) => {
      const id = ids[Math.floor(i / channels)] as number;
      if (id >= 0 && id < table && id !== 2) expected[id * channels + (i % channels)]! += value;
    });
    const weight = zeros(device, [table, channels]);
    weight.requiresGrad = true;
    const run = async () => {
      weight.gradValid = false;
      const upstream = tensor(device, Float32Array.from(dy.data), [positions, channels]);
      scope(() => backward(embedding(weight, tensor(device, Int32Array.from(ids)), { paddingIdx: 2 }), upstream));
      return weight.grad!.data();
    };
    const first = await run();
    expectClose(first, expected, { atol: 1e-5, rtol: 1e-5 });
    expect(await run()).toEqual(first);
  },
);

test("4096 equal ids are exact, twice in a row (O17)", async () => {
  const count = 4096;
  const upstream = Array.from({ length: count }, () => [1, 1]);
  for (const rows of [4, 10_000]) {
    for (let i = 0; i < 2; i++) {
      const grad = await gradient(rows, new Array(count).fill(1), upstream);
      expect(grad.slice(0, 8)).toEqual([0, 0, count, count, 0, 0, 0, 0]);
    }
  }
});

test("ids of any shape; one outside the table gives NaN and no gradient", async () => {
  const weight = tensor(device, [
    [1, 2],
    [3, 4],
  ]);
  weight.requiresGrad = true;
  const y = embedding(
    weight,
    tensor(
      device,
      [
        [1, 2],
        [-1, 0],
      ],
      undefined,
      "i32",
    ),
  );
  expect(y.shape).toEqual([2, 2, 2]);
  expectClose(await y.data(), [3, 4, Number.NaN, Number.NaN, Number.NaN, Number.NaN, 1, 2]);
  backward(y, ones(device, [2, 2, 2]));
  expect([...((await weight.grad?.data()) ?? [])]).toEqual([1, 1, 1, 1]);
});

test("no ids: an empty result and a gradient of zeros", async () => {
  const weight = ones(device, [3, 2]);
  weight.requiresGrad = true;
  const y = embedding(weight, tensor(device, new Uint32Array(0)));
  expect(y.shape).toEqual([0, 2]);
  backward(y, tensor(device, new Float32Array(0), [0, 2]));
  expect([...((await weight.grad?.data()) ?? [])]).toEqual([0, 0, 0, 0, 0, 0]);
});

test("errors name what does not fit", () => {
  const ids = tensor(device, new Uint32Array(2));
  expect(() => embedding(ones(device, [3]), ids)).toThrow("embedding: weight is f32 [3]; it must be f32 [V, C]");
  expect(() => embedding(ones(device, [3, 2]), ones(device, [2]))).toThrow("embedding: ids [2] are f32");
});
