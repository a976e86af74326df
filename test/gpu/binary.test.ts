import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { ShapeError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { add, div, maximum, minimum, mul, pow, sub } from "../../src/ops/binary.ts";
import { sum } from "../../src/ops/reduce.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { broadcast, numbers, ODD_SIZES, type Ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

interface Case {
  readonly op: (a: Tensor, b: Tensor) => Tensor<"f32">;
  readonly f: (a: number, b: number) => number;
  /** Range of the operands. */
  readonly a: readonly [number, number];
  readonly b: readonly [number, number];
}

const cases: Record<string, Case> = {
  add: { op: add, f: (a, b) => a + b, a: [-2, 2], b: [-2, 2] },
  sub: { op: sub, f: (a, b) => a - b, a: [-2, 2], b: [-2, 2] },
  mul: { op: mul, f: (a, b) => a * b, a: [-2, 2], b: [-2, 2] },
  div: { op: div, f: (a, b) => a / b, a: [-2, 2], b: [0.5, 2] },
  maximum: { op: maximum, f: Math.max, a: [-2, 2], b: [-2, 2] },
  minimum: { op: minimum, f: Math.min, a: [-2, 2], b: [-2, 2] },
  pow: { op: pow, f: (a, b) => a ** b, a: [0.2, 3], b: [-2, 3] },
};

/** Pairs that reach every path: one axis, stretched inside and outside, vectors and scalars, one to four axes. */
const shapes: readonly (readonly [readonly number[], readonly number[]])[] = [
  [[], []],
  [[5], []],
  [[], [8]],
  [[3, 5], [5]],
  [[3, 8], [8]],
  [
    [3, 8],
    [3, 1],
  ],
  [
    [3, 1],
    [1, 7],
  ],
  [
    [2, 1, 4],
    [1, 3, 4],
  ],
  [
    [2, 3, 1, 5],
    [3, 4, 1],
  ],
  [
    [2, 3, 4, 8],
    [2, 1, 4, 1],
  ],
  [
    [2, 3, 1, 1, 2, 8],
    [2, 3, 2, 1, 1, 8],
  ],
  [[1], [0]],
  [[0, 3], [3]],
];

for (const [name, { op, f, a, b }] of Object.entries(cases)) {
  const reference = (x: Ref, y: Ref) => broadcast(f, x, y);
  test(`${name} and its gradients at odd sizes`, async () => {
    for (const n of ODD_SIZES) {
      await checkGradient(device, op, reference, [numbers([n], ...a, n + 1), numbers([n], ...b, n + 2)], {
        what: name,
      });
    }
  });
  // The walk over the operands is the same for all; each compiles anew, so the others take a sample.
  const pairs = name === "mul" || name === "sub" ? shapes : shapes.slice(3, 6);
  test(`${name} and its gradients under broadcasting`, async () => {
    for (const [left, right] of pairs) {
      await checkGradient(device, op, reference, [numbers(left, ...a, 3), numbers(right, ...b, 4)], { what: name });
      await checkGradient(device, op, reference, [numbers(right, ...a, 5), numbers(left, ...b, 6)], { what: name });
    }
    for (const constant of [[0], [1]]) {
      await checkGradient(device, op, reference, [numbers([3, 8], ...a, 3), numbers([8], ...b, 4)], {
        what: name,
        constant,
      });
    }
  });
}

test("a number as an operand", async () => {
  const number: [string, (x: Tensor) => Tensor<"f32">, (x: number) => number][] = [
    ["x + 2", (x) => add(x, 2), (x) => x + 2],
    ["2 + x", (x) => add(2, x), (x) => x + 2],
    ["x - 2", (x) => sub(x, 2), (x) => x - 2],
    ["2 - x", (x) => sub(2, x), (x) => 2 - x],
    ["x * 3", (x) => mul(x, 3), (x) => x * 3],
    ["x / 4", (x) => div(x, 4), (x) => x / 4],
    ["1 / x", (x) => div(1, x), (x) => 1 / x],
    ["max(x, 1)", (x) => maximum(x, 1), (x) => Math.max(x, 1)],
    ["min(1, x)", (x) => minimum(1, x), (x) => Math.min(x, 1)],
    ["x^3", (x) => pow(x, 3), (x) => x ** 3],
    ["x^-0.5", (x) => pow(x, -0.5), (x) => x ** -0.5],
  ];
  for (const [what, op, f] of number) {
    for (const n of [1, 7, 65]) {
      await checkGradient(device, op, (x) => broadcast(f, x), [numbers([n], 0.3, 2.5, n)], { what });
    }
  }
});

test("powers of zero and of negative numbers", async () => {
  const base = tensor(device, [0, 0, 0, -2, -2, -2, 2]);
  const exponent = tensor(device, [0, 2, -1, 2, 3, 0.5, 0]);
  const [y0, y1, y2, ...rest] = await pow(base, exponent).data();
  expectClose([y0, y1] as number[], [1, 0]);
  expect(y2).toBeGreaterThan(1e38);
  expectClose(rest, [4, -8, Number.NaN, 1]);
});

test("maximum and minimum keep NaN on either side, and halve the gradient of equals", async () => {
  const x = tensor(device, [Number.NaN, 1, 2, 3, 4]);
  const y = tensor(device, [0, Number.NaN, 2, 5, 1]);
  x.requiresGrad = true;
  y.requiresGrad = true;
  expectClose(await maximum(x, y).data(), [Number.NaN, Number.NaN, 2, 5, 4]);
  expectClose(await minimum(x, y).data(), [Number.NaN, Number.NaN, 2, 3, 1]);
  backward(maximum(x, y), ones(device, [5]));
  expectClose((await x.grad?.data())?.slice(2) ?? [], [0.5, 0, 1]);
  expectClose((await y.grad?.data())?.slice(2) ?? [], [0.5, 1, 0]);
});

test("gradients of stretched operands are sums (O18)", async () => {
  const x = tensor(device, [
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const b = tensor(device, [[10, 20, 30]]);
  const c = tensor(device, [[2], [-1]]);
  const s = tensor(device, 3);
  const leaves = [x, b, c, s];
  const left = [() => add(x, b), () => add(b, x)];
  for (const inner of left) {
    for (const leaf of leaves) {
      leaf.requiresGrad = true;
      leaf.gradValid = false;
    }
    const loss = sum(mul(mul(inner(), c), s));
    expect(await loss.item()).toBe(171);
    backward(loss);
    expectClose((await x.grad?.data()) ?? [], [6, 6, 6, -3, -3, -3]);
    expectClose((await b.grad?.data()) ?? [], [3, 3, 3]);
    expectClose((await c.grad?.data()) ?? [], [198, 225]);
    expectClose((await s.grad?.data()) ?? [], [57]);
  }
});

test("a bias stretched over heads gets the sum over them", async () => {
  const scores = numbers([2, 3, 4, 5], -1, 1, 1);
  const bias = numbers([2, 1, 4, 5], -1, 1, 2);
  await checkGradient(device, add, (x, y) => broadcast((a, b) => a + b, x, y), [scores, bias]);
});

test("more than 65,535 workgroups (O10)", async () => {
  const n = 16_777_217;
  const x = tensor(
    device,
    Float32Array.from({ length: n }, (_, i) => i % 1024),
  );
  const y = add(x, tensor(device, [1]));
  const data = await y.data();
  expect([0, 1023, 16_776_959, 16_776_960, 16_777_216].map((i) => data[i])).toEqual([1, 1024, 768, 769, 1]);
  expect(data.reduce((total, v) => total + v, 0)).toBe(8_598_323_201);
  x.dispose();
  y.dispose();
  device.trim();
});

test("what does not fit is named", () => {
  const a = ones(device, [2, 3]);
  expect(() => add(a, ones(device, [4]))).toThrow(ShapeError);
  expect(() => add(a, ones(device, [4]))).toThrow(
    "add: [2, 3] and [4] do not broadcast; sizes 3 and 4 must be equal or 1",
  );
  expect(() => mul(a, tensor(device, [1, 2, 3], [3], "u32"))).toThrow(
    'mul: the tensor [3] holds u32 and the operation works on f32; convert it with cast(x, "f32")',
  );
  expect(() => mul(2, 3)).toThrow(ValueError);
  expect(() => add(ones(device, [2, 1, 2, 1, 2]), ones(device, [1, 2, 1, 2, 1]))).toThrow(ShapeError);
});
