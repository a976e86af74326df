import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { Choice } from "../../src/ops/choice.ts";
import { linear } from "../../src/ops/linear.ts";
import { type FusedActivation, product } from "../../src/ops/product.ts";
import { empty, full, ones, tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** erf by its series, exact to 1e-12 for the arguments used here. */
function erf(x: number): number {
  let term = x;
  let sum = x;
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const ACTIVATIONS: Record<FusedActivation, (v: number) => number> = {
  relu: (v) => Math.max(v, 0),
  reluSquared: (v) => Math.max(v, 0) ** 2,
  gelu: (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
  geluTanh: (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))),
  silu: (v) => v / (1 + Math.exp(-v)),
  tanh: Math.tanh,
  sigmoid: (v) => 1 / (1 + Math.exp(-v)),
};
const names = Object.keys(ACTIVATIONS) as FusedActivation[];
const identity = (v: number): number => v;

function linearRef(f: (v: number) => number): (x: Ref, weight: Ref, bias?: Ref) => Ref {
  return (x, weight, bias) => {
    const [outSize, inSize] = weight.shape as [number, number];
    return ref([...x.shape.slice(0, -1), outSize], (i) => {
      const row = Math.floor(i / outSize) * inSize;
      const column = i % outSize;
      let sum = bias?.data[column] ?? 0;
      for (let k = 0; k < inSize; k++)
        sum += (x.data[row + k] as number) * (weight.data[column * inSize + k] as number);
      return f(sum);
    });
  };
}

test.each([
  [[3, 5], 7],
  [[2, 3, 8], 12],
  [[4], 3],
  [[300, 9], 5],
])("linear and its gradients: %j to %i", async (shape, outSize) => {
  const inSize = shape.at(-1) as number;
  const inputs = [numbers(shape), numbers([outSize, inSize], -1, 1, 2), numbers([outSize], -1, 1, 3)];
  await checkGradient(device, (x, w, b) => linear(x, w, b), linearRef(identity), inputs, { what: "linear" });
  await checkGradient(device, (x, w) => linear(x, w), linearRef(identity), inputs.slice(0, 2), { what: "linear" });
});

describe.each(names)("linear with %s", (activation) => {
  const f = ACTIVATIONS[activation];
  const inputs = [numbers([5, 6]), numbers([7, 6], -1, 1, 2), numbers([7], -1, 1, 3)];

  test("and its gradients", () =>
    checkGradient(device, (x, w, b) => linear(x, w, b, { activation }), linearRef(f), inputs, { what: activation }));

  test("fused", async () => {
    const [M, K, N] = [3, 8, 9];
    const x = numbers([M, K]);
    const weight = numbers([N, K], -1, 1, 2);
    const bias = numbers([N], -1, 1, 3);
    const want = linearRef(f)(x, weight, bias).data;
    const upload = ({ data, shape }: Ref) => tensor(device, Float32Array.from(data), shape);
    const choices: Choice[] = [{ kernel: "direct", knobs: { WIDTH: 8, HEIGHT: 4 } }];
    // The kernels have copies of one text, as a test of the kernel files sees to; one function tells whether it is called.
    if (activation === "silu") {
      choices.push({ kernel: "vector", knobs: { WIDTH: 4, SLICES: 16 } });
      const knobs = { WIDTH: 8, HEIGHT: 8, BLOCKS_M: 1, BLOCKS_N: 1, DEPTH: 8 } as const;
      for (const splits of [1, 2]) choices.push({ kernel: "tiled", splits, knobs });
      if (device.has("subgroups"))
        choices.push({ kernel: "quads", knobs: { WIDTH: 8, HEIGHT: 1 } }, { kernel: "sums", knobs: { LANES: 8 } });
    }
    for (const choice of choices) {
      using out = scope(() => {
        const out = empty(device, [M, N]);
        product(device, {
          a: upload(x),
          b: upload(weight),
          bias: upload(bias),
          out,
          M,
          N,
          K,
          transposeB: true,
          activation,
          choice,
        });
        return out;
      });
      expectClose(await out.data(), want, { what: `${activation} in the ${choice.kernel} kernel` });
    }
  });
});

test("fused activations stay finite at the ends of float32", async () => {
  const x = tensor(device, [[1], [-1]]);
  const weight = full(device, [4, 1], 3e38);
  const bounded = names.filter((name) => name !== "reluSquared");
  const results = scope(() => bounded.map((activation) => linear(x, weight, null, { activation }).data()));
  for (const [i, result] of results.entries()) {
    expect({ [bounded[i] as string]: (await result).every(Number.isFinite) }).toEqual({ [bounded[i] as string]: true });
  }
});

test("no rows give zero gradients", async () => {
  const weight = ones(device, [3, 2]);
  const bias = ones(device, [3]);
  weight.requiresGrad = true;
  bias.requiresGrad = true;
  const y = linear(empty(device, [0, 2]), weight, bias);
  expect(y.shape).toEqual([0, 3]);
  backward(y, empty(device, [0, 3]));
  expect([...((await weight.grad?.data()) ?? [])]).toEqual([0, 0, 0, 0, 0, 0]);
  expect([...((await bias.grad?.data()) ?? [])]).toEqual([0, 0, 0]);
});

test("what does not fit is refused with the sizes", () => {
  const of = (...shape: number[]) => empty(device, shape);
  expect(() => linear(of(2, 3), of(4, 5))).toThrow(
    "linear: x is [2, 3] and weight is [4, 5]; the last size of both must be equal",
  );
  expect(() => linear(of(2, 3), of(3))).toThrow("linear: weight is [3]; it must be [out, in]");
  expect(() => linear(of(2, 3), of(4, 3), of(3))).toThrow("linear: bias is [3] and weight is [4, 3]; bias must be [4]");
  expect(() => linear(empty(device, [2, 3], "i32"), of(4, 3))).toThrow("linear: the tensor [2, 3] holds i32");
});
