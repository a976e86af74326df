/** What RWKV-4 to 6 do around their recurrences: gates, low-rank maps, and shares that depend on the input. */
import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { shift6Ref } from "../../src/check/references/wkv.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { stack } from "../../src/ops/concat.ts";
import { gated } from "../../src/ops/wkv/gate.ts";
import { mapRows } from "../../src/ops/wkv/lowRank.ts";
import { tokenShift6 } from "../../src/ops/wkv/mix6.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

type Mixes = Parameters<typeof tokenShift6>[3];
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

test.each([
  ["sigmoid", [1, 1, 1]],
  ["silu", [2, 3, 7]],
  ["sigmoid", [2, 33, 4]],
  ["silu", [1, 65, 5]],
] as const)("gate by %s, %j", async (activation, shape) => {
  await checkGradient(
    device,
    (y, gate) => gated(y!, gate!, activation),
    (y, gate) => {
      const share = (g: number) => sigmoid(g) * (activation === "silu" ? g : 1);
      return ref(shape, (i) => y!.data[i]! * share(gate!.data[i]!));
    },
    [numbers(shape, -2, 2, 1), numbers(shape, -9, 9, 2)],
  );
});

test("gates stay finite at the ends of the range", async () => {
  const gate = tensor(device, [-1e30, -100, 100, 1e30]);
  gate.requiresGrad = true;
  const y = scope(() => {
    const y = gated(tensor(device, [1, 1, 1, 1]), gate, "sigmoid");
    backward(y, tensor(device, [1, 1, 1, 1]));
    return y;
  });
  expect([...(await y.data())]).toEqual([0, 0, 1, 1]);
  expect([...(await gate.grad!.data())]).toEqual([0, 0, 0, 0]);
});

test.each([
  { x: [1, 1, 1], columns: 1, activation: null, offset: true },
  { x: [2, 3, 7], columns: 5, activation: "tanh", offset: false },
  { x: [1, 33, 8], columns: 12, activation: "sigmoid", offset: true },
  { x: [2, 2, 65], columns: 3, activation: null, offset: false },
] as const)("rows $x through a matrix of $columns columns", async ({ x: shape, columns, activation, offset }) => {
  const K = shape[2];
  const f = { tanh: Math.tanh, sigmoid, none: (v: number) => v }[activation ?? "none"];
  await checkGradient(
    device,
    (x, weight, added) => mapRows(x!, weight!, { offset: added ?? null, activation }),
    (x, weight, added) =>
      ref([shape[0], shape[1], columns], (i) => {
        const [row, c] = [Math.floor(i / columns), i % columns];
        let sum = added?.data[c] ?? 0;
        for (let k = 0; k < K; k++) sum += x!.data[row * K + k]! * weight!.data[k * columns + c]!;
        return f(sum);
      }),
    [numbers(shape), numbers([K, columns], -1, 1, 2), ...(offset ? [numbers([1, 1, columns], -1, 1, 3)] : [])],
  );
});

test.each([
  { shape: [1, 1, 1], given: false },
  { shape: [2, 3, 8], given: true },
  { shape: [3, 1, 7], given: true },
  { shape: [2, 33, 4], given: false },
])("five shares that depend on the input, $shape", async ({ shape, given }) => {
  const [B = 0, T = 0, C = 0] = shape;
  const before = given ? [numbers([B, C], -2, 2, 3)] : [];
  const mixes = Array.from({ length: 5 }, (_, n) => numbers([1, 1, C], -0.5, 1.5, 10 + n));
  await checkGradient(
    device,
    (x, shares, ...rest) => stack(tokenShift6(x!, rest[5] ?? null, shares!, rest.slice(0, 5) as unknown as Mixes)),
    (x, shares, ...rest) => shift6Ref(x!, shares!, ...rest),
    [numbers(shape), numbers([5, B * T, C], -0.5, 0.5, 2), ...mixes, ...before],
  );
});

test("a mixed sequence that nothing uses, and gradients that add up bit by bit", async () => {
  const leaf = (x: Ref) => {
    const made = tensor(device, Float32Array.from(x.data), x.shape);
    made.requiresGrad = true;
    return made;
  };
  const [x, shares] = [leaf(numbers([1, 40, 8])), leaf(numbers([5, 40, 8], -1, 1, 2))];
  const mixes = Array.from({ length: 5 }, (_, n) => leaf(numbers([8], 0, 1, 3 + n))) as unknown as Mixes;
  const dy = leaf(numbers([1, 40, 8], -1, 1, 9));
  const go = () => scope(() => backward(tokenShift6(x, null, shares, mixes)[4], dy));
  go();
  const once = await mixes[4].grad!.data();
  expect(once.some((g) => g !== 0)).toBe(true);
  expect((await mixes[0].grad!.data()).every((g) => g === 0)).toBe(true);
  go();
  expect(await mixes[4].grad!.data()).toEqual(once.map((g) => 2 * g));
});

test("errors name what does not fit", () => {
  const x = zeros(device, [2, 3, 4]);
  const mix: Tensor = zeros(device, [4]);
  const mixes = [mix, mix, mix, mix, zeros(device, [5])] as const;
  const shares = zeros(device, [5, 6, 4]);
  expect(() => gated(x, zeros(device, [2, 3, 5]), "silu")).toThrow("gated: y is [2, 3, 4] and gate is [2, 3, 5]");
  expect(() => mapRows(x, zeros(device, [5, 4]))).toThrow("weight must have as many rows as x has columns");
  expect(() => mapRows(x, zeros(device, [4, 2]), { offset: mix })).toThrow("offset is [4]; it must have 2 values");
  expect(() => tokenShift6(x, null, shares, mixes)).toThrow("a mix is [5] and x is [2, 3, 4]; it must have 4 values");
  expect(() => tokenShift6(x, null, zeros(device, [5, 2, 4]), mixes)).toThrow("it must be [5, 6, 4]");
});
