import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { Device } from "../../src/gpu/device.ts";
import { ShapeError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { argmax } from "../../src/ops/argmax.ts";
import { expand } from "../../src/ops/expand.ts";
import { max, mean, min, sum, sumTo } from "../../src/ops/reduce.ts";
import { ones, tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { broadcast, numbers, ODD_SIZES, type Ref, reduceRef, ref } from "../support/reference.ts";

let device: Device;
/** The same, treated as what it is not: an emulation or a GPU. The launches differ. */
let other: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  other = new Device(device.gpu, device.info, !device.software, false);
});

const total = (values: number[]) => values.reduce((a, b) => a + b, 0);
const ops = {
  sum: { op: sum, f: total },
  mean: { op: mean, f: (values: number[]) => total(values) / values.length },
  max: { op: max, f: (values: number[]) => Math.max(...values) },
  min: { op: min, f: (values: number[]) => Math.min(...values) },
} as const;

/** Shape and reduced axes: inner, outer, middle, several groups, all, long ones in two stages, lengths that divide by 4 and not. */
const cases: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[3, 8], [1]],
  [[3, 7], [1]],
  [[8, 3], [0]],
  [[9, 8], [0]],
  [[5, 6, 7], [1]],
  [[5, 6, 8], [1]],
  [
    [4, 5, 6],
    [0, 2],
  ],
  [
    [2, 3, 4, 5],
    [1, 2],
  ],
  [
    [2, 3, 4, 5],
    [0, 1, 2, 3],
  ],
  [[3, 1, 4], [1]],
  [[2, 20000], [1]],
  [[20001], [0]],
  [[3000, 5], [0]],
  [[3000, 8], [0]],
  [[2, 1500, 4], [1]],
  [[500, 100], [0]],
];

for (const [name, { op, f }] of Object.entries(ops)) {
  test(`${name} and its gradient at odd sizes`, async () => {
    for (const n of ODD_SIZES) {
      if (n === 0 && name !== "sum") continue;
      await checkGradient(
        device,
        (x) => op(x, 0),
        (x) => ({ ...reduceRef(x, [0], f), shape: [] }),
        [numbers([n], -1, 1, n)],
        { what: name },
      );
      await checkGradient(
        device,
        (x) => op(x, -1, { keepDims: true }),
        (x) => reduceRef(x, [1], f),
        [numbers([3, n], -1, 1, n)],
        { what: name },
      );
      await checkGradient(
        device,
        (x) => op(x, 0, { keepDims: true }),
        (x) => reduceRef(x, [0], f),
        [numbers([n, 3], -1, 1, n)],
        { what: name },
      );
    }
  });
  test(`${name} and its gradient over any axes`, async () => {
    for (const [shape, axes] of cases) {
      // Differences of a mean over many are tiny beside the rounding of the sum: sample few elements, exactly.
      await checkGradient(
        device,
        (x) => op(x, axes, { keepDims: true }),
        (x) => reduceRef(x, axes, f),
        [numbers(shape, -1, 1, 3)],
        {
          what: `${name} over [${axes}]`,
          samples: 4,
        },
      );
    }
  });
}

test("many columns, launched as for a GPU and as for an emulation", async () => {
  for (const on of [device, other]) {
    for (const [shape, axis] of [
      [[200, 30], 1],
      [[70, 64], 1],
      [[40, 300], 0],
      [[3, 50, 101], 1],
    ] as const) {
      const x = numbers(shape, -1, 1, 5);
      for (const { op, f } of [ops.sum, ops.max]) {
        await checkGradient(
          on,
          (x) => op(x, axis, { keepDims: true }),
          (x) => reduceRef(x, [axis], f),
          [x],
          { samples: 3 },
        );
      }
    }
    const rows = numbers([100, 70], -1, 1, 6);
    const expected = Array.from({ length: 100 }, (_, row) => {
      const part = [...rows.data.slice(row * 70, row * 70 + 70)];
      return part.indexOf(Math.max(...part));
    });
    expect([...(await argmax(tensor(on, Float32Array.from(rows.data), [100, 70])).data())]).toEqual(expected);
  }
});

test("shapes: all axes by default, from the end, kept or not", () => {
  const x = ones(device, [2, 3, 4]);
  expect(sum(x).shape).toEqual([]);
  expect(sum(x, -1).shape).toEqual([2, 3]);
  expect(sum(x, [0, -1]).shape).toEqual([3]);
  expect(sum(x, [0, 2], { keepDims: true }).shape).toEqual([1, 3, 1]);
  expect(max(x, [], { keepDims: true }).shape).toEqual([2, 3, 4]);
  expect(() => sum(x, 3)).toThrow("sum: axis 3 is outside a tensor of 3 axes; use -3 to 2");
});

test("empty: a sum is 0; a mean or maximum of nothing is refused (O11)", async () => {
  const x = zeros(device, [2, 0]);
  expect(await sum(x).item()).toBe(0);
  expect([...(await sum(x, 1).data())]).toEqual([0, 0]);
  expect(sum(x, 0).shape).toEqual([0]);
  expect(mean(x, 0).shape).toEqual([0]);
  expect(() => mean(x)).toThrow(
    "mean: the tensor [2, 0] has no elements to take the mean of; give it at least one along the reduced axes",
  );
  expect(() => max(x, 1)).toThrow(ShapeError);
  x.requiresGrad = true;
  backward(sum(x));
  expect(x.grad?.shape).toEqual([2, 0]);
});

test("70,000 rows of 3 (O10)", async () => {
  const x = tensor(
    device,
    Float32Array.from({ length: 210_000 }, (_, i) => i % 1000),
    [70_000, 3],
  );
  const y = await sum(x, 1).data();
  expect(y.findIndex((v, row) => v !== [0, 1, 2].reduce((s, k) => s + ((3 * row + k) % 1000), 0))).toBe(-1);
  const top = await max(x, 1).data();
  expect(top.findIndex((v, row) => v !== Math.max(...[0, 1, 2].map((k) => (3 * row + k) % 1000)))).toBe(-1);
  expect([...(await argmax(x).data())].slice(332, 335)).toEqual([2, 0, 2]);
});

test("long sums are exact where floats allow it, and repeat bit by bit", async () => {
  const x = tensor(
    device,
    Float32Array.from({ length: 1_000_003 }, (_, i) => (i % 17) - 8),
  );
  const exact = Array.from({ length: 1_000_003 }, (_, i) => (i % 17) - 8).reduce((a, b) => a + b, 0);
  expect(await sum(x).item()).toBe(exact);
  const y = tensor(device, Float32Array.from(numbers([300_000], 0, 1).data));
  const [a, b] = [await sum(y).item(), await sum(y).item()];
  expect(a).toBe(b);
  expectClose([a], [total([...numbers([300_000], 0, 1).data])], { rtol: 1e-6 });
});

test("max and min keep NaN, see infinities, and send the gradient to the first of equals (O05)", async () => {
  const x = tensor(device, [
    [1, Number.NaN, 3],
    [Number.NEGATIVE_INFINITY, -5, -5],
    [7, 7, 2],
  ]);
  expectClose(await max(x, 1).data(), [Number.NaN, -5, 7]);
  expectClose(await min(x, 1).data(), [Number.NaN, Number.NEGATIVE_INFINITY, 2]);
  expect(await max(x).item()).toBeNaN();
  x.requiresGrad = true;
  backward(max(x, 1), tensor(device, [1, 2, 3]));
  expectClose((await x.grad?.data()) ?? [], [0, 1, 0, 0, 2, 0, 3, 0, 0]);
  const all = tensor(device, [
    [
      [0, 4],
      [4, 1],
    ],
    [
      [4, 2],
      [3, 4],
    ],
  ]);
  all.requiresGrad = true;
  backward(max(all, [0, 2]), tensor(device, [1, 2]));
  expectClose((await all.grad?.data()) ?? [], [0, 1, 2, 0, 0, 0, 0, 0]);
});

test("sumTo and expand are each other's gradient", async () => {
  const pairs: [number[], number[]][] = [
    [
      [3, 1],
      [3, 4],
    ],
    [
      [1, 5],
      [3, 5],
    ],
    [[5], [2, 3, 5]],
    [[], [7]],
    [
      [2, 1, 8],
      [2, 3, 8],
    ],
    [
      [4, 1, 2, 1],
      [4, 3, 2, 5],
    ],
  ];
  for (const [small, large] of pairs) {
    const stretch = (x: Ref) =>
      broadcast(
        (v) => v,
        x,
        ref(large, () => 0),
      );
    await checkGradient(device, (x) => expand(x, large), stretch, [numbers(small)], { what: "expand" });
    const fold = (x: Ref) => {
      const axes = large.map((n, axis) => ((small[axis - large.length + small.length] ?? 1) === n ? -1 : axis));
      return { ...reduceRef(x, axes, total), shape: small };
    };
    await checkGradient(device, (x) => sumTo(x, small), fold, [numbers(large)], { what: "sumTo" });
  }
  expect(() => expand(ones(device, [2]), [3])).toThrow(ShapeError);
  expect(() => expand(ones(device, [2, 3]), [3])).toThrow(
    "expand: [2, 3] does not stretch to [3]; only sizes of 1 stretch",
  );
  expect(() => sumTo(ones(device, [2, 3]), [2])).toThrow(ShapeError);
});

test("a parameter takes a folded gradient straight into its slot", async () => {
  const bias = tensor(device, [1, 2, 3]);
  bias.requiresGrad = true;
  const run = (times: number) => scope(() => backward(sum(expand(bias, [times, 3]))));
  run(4);
  await device.sync();
  const before = device.stats.dispatches;
  run(5);
  await device.sync();
  // expand, sum in one launch, the seed, stretching it, and the sum over the 5 rows; nothing to copy it over
  expect(device.stats.dispatches - before).toBe(5);
  expectClose((await bias.grad?.data()) ?? [], [9, 9, 9]);
});
