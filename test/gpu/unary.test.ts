import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import {
  type Activation,
  abs,
  activate,
  affine,
  exp,
  gelu,
  geluTanh,
  log,
  logSigmoid,
  neg,
  reciprocal,
  relu,
  sigmoid,
  silu,
  softplus,
  sqrt,
  tanh,
} from "../../src/ops/unary.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { broadcast, numbers, ODD_SIZES } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const logistic = (x: number) => 1 / (1 + Math.exp(-x));
const plus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
const tanhGelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** erf by its series, exact to 1e-15 for the arguments used here. */
function erf(x: number): number {
  let [sum, term] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const functions: Record<Activation, readonly [f: (x: number) => number, low: number, high: number]> = {
  exp: [Math.exp, -3, 3],
  log: [Math.log, 0.1, 5],
  sqrt: [Math.sqrt, 0.1, 5],
  abs: [Math.abs, -3, 3],
  square: [(x) => x * x, -3, 3],
  tanh: [Math.tanh, -3, 3],
  sigmoid: [logistic, -4, 4],
  relu: [(x) => Math.max(x, 0), -3, 3],
  reluSquared: [(x) => Math.max(x, 0) ** 2, -3, 3],
  gelu: [(x) => 0.5 * x * (1 + erf(x / Math.SQRT2)), -4, 4],
  geluTanh: [tanhGelu, -4, 4],
  silu: [(x) => x * logistic(x), -4, 4],
  softplus: [plus, -4, 4],
  logSigmoid: [(x) => -plus(-x), -4, 4],
  reciprocal: [(x) => 1 / x, 0.3, 3],
};

for (const [name, [f, low, high]] of Object.entries(functions)) {
  test(`${name} and its gradient at odd sizes`, async () => {
    for (const n of ODD_SIZES) {
      await checkGradient(
        device,
        (x) => activate(x, name as Activation),
        (x) => broadcast(f, x),
        [numbers([n], low, high, n)],
        { what: name },
      );
    }
  });
}

test("affine and neg", async () => {
  await checkGradient(
    device,
    (x) => affine(x, 3, -2),
    (x) => broadcast((v) => 3 * v - 2, x),
    [numbers([17])],
  );
  await checkGradient(
    device,
    (x) => neg(x),
    (x) => broadcast((v) => -v, x),
    [numbers([3, 7])],
  );
});

/** Values and slopes at given points. */
async function probe(op: (x: Tensor) => Tensor<"f32">, points: readonly number[]): Promise<[number[], number[]]> {
  const x = tensor(device, [...points]);
  x.requiresGrad = true;
  const y = scope(() => {
    const y = op(x);
    backward(y, ones(device, [points.length]));
    return y;
  });
  const result: [number[], number[]] = [[...(await y.data())], [...((await x.grad?.data()) ?? [])]];
  y.dispose();
  x.dispose();
  return result;
}

const SATURATING = [-1000, -100, -89, -30, -13.5, -1, -0.001, 0, 0.001, 1, 13.5, 30, 89, 100, 1000];

test("saturating activations keep their limits (O01)", async () => {
  const [y, slope] = await probe(tanh, SATURATING);
  expectClose(y, SATURATING.map(Math.tanh), { atol: 2e-5, rtol: 0, what: "tanh" });
  expectClose([y[6], y[8]] as number[], [-0.0009999997, 0.0009999997], { atol: 1e-9, rtol: 0 });
  expectClose(
    slope,
    SATURATING.map((x) => 1 - Math.tanh(x) ** 2),
    { what: "tanh'" },
  );
  expectClose((await probe(geluTanh, SATURATING))[0], SATURATING.map(tanhGelu), { what: "geluTanh" });
  expectClose((await probe(geluTanh, [1, -1, 30, -30]))[1], [1.0829641, -0.0829641, 1, 0], { what: "geluTanh'" });
  expectClose((await probe(geluTanh, [1, -1]))[0], [0.841192, -0.158808]);
  expectClose(
    (await probe(gelu, SATURATING))[0],
    SATURATING.map((x) => (Math.abs(x) > 10 ? Math.max(x, 0) : 0.5 * x * (1 + erf(x / Math.SQRT2)))),
    { what: "gelu" },
  );
  for (const op of [tanh, geluTanh, gelu, sigmoid, silu, softplus, logSigmoid, exp]) {
    const [values, slopes] = await probe(op, SATURATING);
    expect([...values, ...slopes].every(Number.isFinite), op.name).toBe(true);
  }
});

test("softplus, log-sigmoid and SiLU far out (O04)", async () => {
  const x = [-200, -100, -20, -1, 0, 1, 20, 100, 200];
  const [plusY, plusSlope] = await probe(softplus, x);
  expectClose(plusY, [0, 0, 2.06e-9, 0.3132617, Math.LN2, 1.3132617, 20, 100, 200], { what: "softplus" });
  expectClose(plusSlope, x.map(logistic), { what: "softplus'" });
  expect(plusSlope.every((v) => v >= 0 && v <= 1)).toBe(true);
  const [logY, logSlope] = await probe(logSigmoid, x);
  expectClose(logY, [-200, -100, -20, -1.3132617, -Math.LN2, -0.3132617, 0, 0, 0], { atol: 1e-6, what: "logSigmoid" });
  expectClose(
    logSlope,
    x.map((v) => logistic(-v)),
    { what: "logSigmoid'" },
  );
  expectClose((await probe(silu, [-100, 100, -1]))[0], [0, 100, -0.2689414], { atol: 1e-6 });
});

test("the ends of exp, log and sqrt are finite", async () => {
  const [e] = await probe(exp, [100, 88.7, -100, -1000]);
  expect(e[0]).toBeGreaterThan(3e38);
  expect(e.every(Number.isFinite)).toBe(true);
  expect(e.slice(2)).toEqual([0, 0]);
  const [l, slopes] = await probe(log, [0, -1, 1e-45]);
  expectClose(l, [-87.336, -87.336, -87.336], { rtol: 1e-4 });
  expect(slopes.every(Number.isFinite)).toBe(true);
  expect((await probe(sqrt, [0, -4]))[0]).toEqual([0, 0]);
  expect((await probe(sqrt, [0]))[1].every(Number.isFinite)).toBe(true);
  expect((await probe(abs, [-0.5, 0, 2]))[1]).toEqual([-1, 0, 1]);
  expect((await probe(relu, [-1, 0, 2]))[1]).toEqual([0, 0, 1]);
});

test("no function hides a NaN (O05)", async () => {
  const x = tensor(device, [1, Number.NaN, 2, -1, 0.5]);
  for (const name of Object.keys(functions)) {
    const y = await activate(x, name as Activation).data();
    expect([...y].map(Number.isNaN), name).toEqual([false, true, false, false, false]);
  }
  expect(await affine(tensor(device, [Number.NaN]), 0, 1).item()).toBeNaN();
  expectClose(await reciprocal(tensor(device, [4])).data(), [0.25]);
});

test("an integer tensor is refused", () => {
  expect(() => tanh(tensor(device, [1, 2], [2], "i32"))).toThrow(
    'tanh: the tensor [2] holds i32 and the operation works on f32; convert it with cast(x, "f32")',
  );
});
