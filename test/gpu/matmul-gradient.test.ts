import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { empty, ones, tensor } from "../../src/tensor/create.ts";
import { broadcastShapes, type Shape } from "../../src/tensor/shape.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { at, indexOf, numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** [..., M, K] x [..., K, N] in float64, by definition. */
function matmulRef(a: Ref, b: Ref, transposeA = false, transposeB = false): Ref {
  const M = a.shape.at(transposeA ? -1 : -2) as number;
  const K = a.shape.at(transposeA ? -2 : -1) as number;
  const N = b.shape.at(transposeB ? -2 : -1) as number;
  const shape = [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2), "reference"), M, N];
  return ref(shape, (i) => {
    const index = indexOf(i, shape);
    const axes = index.slice(0, -2);
    const [m, n] = index.slice(-2) as [number, number];
    let sum = 0;
    for (let k = 0; k < K; k++) {
      sum += at(a, [...axes, ...(transposeA ? [k, m] : [m, k])]) * at(b, [...axes, ...(transposeB ? [n, k] : [k, n])]);
    }
    return sum;
  });
}

/** Shapes of a and b; a last axis of size 1 would read as one to be stretched, so the matrices have none. */
const CASES: readonly (readonly [string, Shape, Shape])[] = [
  ["two matrices", [5, 7], [7, 3]],
  ["sizes that vectors fit", [8, 12], [12, 4]],
  ["equal batches", [3, 2, 5], [3, 5, 7]],
  ["one matrix b for a batch", [2, 3, 4, 5], [5, 6]],
  ["one matrix a for a batch", [4, 5], [3, 5, 2]],
  ["b shared along the first axis", [2, 3, 4, 8], [3, 8, 4]],
  ["b shared along the second axis", [2, 3, 4, 5], [2, 1, 5, 3]],
  ["a shared along the second axis", [2, 1, 4, 5], [2, 3, 5, 3]],
  ["each shared along one axis", [2, 1, 4, 5], [1, 3, 5, 3]],
  ["axes of size 1", [1, 4, 5], [1, 1, 5, 3]],
];
const swapped = (shape: Shape): Shape => [...shape.slice(0, -2), shape.at(-1) as number, shape.at(-2) as number];

describe.each(CASES)("matmul and its gradients: %s", (_, shapeA, shapeB) => {
  test.each([
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ])("transposed %s, %s", async (transposeA, transposeB) => {
    await checkGradient(
      device,
      (a, b) => matmul(a, b, { transposeA, transposeB }),
      (a, b) => matmulRef(a, b, transposeA, transposeB),
      [numbers(transposeA ? swapped(shapeA) : shapeA), numbers(transposeB ? swapped(shapeB) : shapeB, -2, 2, 3)],
      { what: "matmul" },
    );
  });
});

test("gradients of a matrix used twice add up in its slot", async () => {
  const w = tensor(device, [
    [1, 2],
    [3, 4],
  ]);
  w.requiresGrad = true;
  const x = tensor(device, [[1, 1]]);
  backward(matmul(matmul(x, w), w), ones(device, [1, 2]));
  // d/dw of the sum of (x w) w, with x w = [4, 6]: its column x^T (1 w^T) plus (x w)^T 1.
  expect([...((await w.grad?.data()) ?? [])]).toEqual([4 + 3, 4 + 7, 6 + 3, 6 + 7]);
});

test("K = 0 gives zeros, and empty results empty gradients", async () => {
  const a = empty(device, [3, 0]);
  const b = empty(device, [0, 2]);
  a.requiresGrad = true;
  b.requiresGrad = true;
  const y = matmul(a, b);
  expect([...(await y.data())]).toEqual([0, 0, 0, 0, 0, 0]);
  backward(y, ones(device, [3, 2]));
  expect(a.grad?.shape).toEqual([3, 0]);
  expect(b.grad?.shape).toEqual([0, 2]);

  for (const [left, right, shape] of [
    [
      [0, 4],
      [4, 5],
      [0, 5],
    ],
    [
      [4, 3],
      [3, 0],
      [4, 0],
    ],
    [
      [0, 2, 3],
      [0, 3, 4],
      [0, 2, 4],
    ],
  ] as const) {
    const x = ones(device, left);
    const w = ones(device, right);
    w.requiresGrad = true;
    const y = matmul(x, w);
    expect(y.shape).toEqual(shape);
    backward(y, empty(device, shape));
    expect([...((await w.grad?.data()) ?? [NaN])].every((v) => v === 0)).toBe(true);
  }
});

test("what does not fit is refused with the sizes", () => {
  const of = (...shape: number[]) => empty(device, shape);
  expect(() => matmul(of(2, 3), of(4, 5))).toThrow(
    "matmul: a is [2, 3] and b is [4, 5]; the inner sizes 3 and 4 must be equal",
  );
  expect(() => matmul(of(2, 3), of(3, 5), { transposeB: true })).toThrow(
    "matmul: a is [2, 3] and b is [3, 5], b transposed; the inner sizes 3 and 5 must be equal",
  );
  expect(() => matmul(of(3), of(3, 5))).toThrow("matmul: a is [3] and must have two axes or more");
  expect(() => matmul(of(2, 4, 3), of(3, 3, 5))).toThrow("matmul: [2] and [3] do not broadcast");
  expect(() => matmul(of(2, 1, 3, 4, 5), of(1, 3, 1, 5, 6))).toThrow("shared along batch axes in turns");
  expect(() => matmul(empty(device, [2, 3], "u32"), of(3, 2))).toThrow("matmul: the tensor [2, 3] holds u32");
  const gone = of(2, 2);
  gone.dispose();
  expect(() => matmul(gone, of(2, 2))).toThrow("matmul: the tensor [2, 2] was disposed");
});
