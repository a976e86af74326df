import { afterAll, beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { FileError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { mul } from "../../src/ops/binary.ts";
import { sum } from "../../src/ops/reduce.ts";
import { Adam } from "../../src/optim/adam.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});
afterAll(() => device.destroy());

function leaf(values: number[]): Tensor<"f32"> {
  const parameter = tensor(device, values);
  parameter.requiresGrad = true;
  return parameter;
}

/** Leaves a gradient in a parameter, through backward. */
function setGrad(parameter: Tensor<"f32">, grad: number[]): void {
  scope(() => backward(sum(mul(parameter, tensor(device, grad)))));
}

test("clipping: by the norm of all gradients together, also of huge ones; zero stays zero", async () => {
  for (const [grad, expected] of [
    [
      [3, 4],
      [0.6, 0.8],
    ],
    [
      [1e20, 1e20],
      [Math.SQRT1_2, Math.SQRT1_2],
    ],
    [
      [0, 0],
      [0, 0],
    ],
    [
      [0.3, 0.4],
      [0.3, 0.4],
    ],
  ] as const) {
    const a = leaf([0]);
    const b = leaf([0]);
    const optimizer = new SGD([a, b], { lr: 1, maxNorm: 1 });
    setGrad(a, [grad[0]]);
    setGrad(b, [grad[1]]);
    optimizer.step();
    expect(-(await a.item())).toBeCloseTo(expected[0], 5);
    expect(-(await b.item())).toBeCloseTo(expected[1], 5);
    optimizer.dispose();
  }
});

test("a gradient that is not finite skips the step: parameters and moments stay, and it is counted", async () => {
  for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
    const a = leaf([5, 6]);
    const b = leaf([7]);
    const optimizer = new Adam([a, b], { lr: 0.1, maxNorm: 1 });
    setGrad(a, [1, 1]);
    setGrad(b, [1]);
    optimizer.step();
    const before = [...(await a.data()), ...(await b.data())];
    const moments = await optimizer.state();
    optimizer.zeroGrad();
    a.gradSlot?.write([bad, 1]);
    a.gradValid = true;
    setGrad(b, [1]);
    optimizer.step();
    expect([...(await a.data()), ...(await b.data())]).toEqual(before);
    const after = await optimizer.state();
    expect([...(after.get("m.0") ?? [])]).toEqual([...(moments.get("m.0") ?? [])]);
    expect(await optimizer.report()).toMatchObject({ steps: 1, skipped: 1, gradNorm: Number.NaN });
    optimizer.dispose();
  }
});

test("a parameter without a gradient stays, moments included", async () => {
  const a = leaf([1]);
  const b = leaf([1]);
  const optimizer = new Adam([a, b], { lr: 0.1 });
  setGrad(a, [1]);
  setGrad(b, [1]);
  optimizer.step();
  const before = await b.item();
  optimizer.zeroGrad();
  setGrad(a, [1]);
  optimizer.step();
  expect(await b.item()).toBe(before);
  expect(await a.item()).toBeLessThan(0.85);
  optimizer.dispose();
});

test("groups have their own learning-rate factor and decay", async () => {
  const a = leaf([1]);
  const b = leaf([1]);
  const c = leaf([1]);
  const optimizer = new SGD(
    [{ parameters: [a] }, { parameters: [b], lrScale: 3 }, { parameters: [c], weightDecay: 0.5 }],
    { lr: 0.1 },
  );
  for (const parameter of [a, b, c]) setGrad(parameter, [1]);
  optimizer.step();
  expect(await a.item()).toBeCloseTo(0.9, 6);
  expect(await b.item()).toBeCloseTo(0.7, 6);
  expect(await c.item()).toBeCloseTo(0.85, 6);
  optimizer.dispose();
});

test("gathering keeps values, names and identity; disposing keeps values", async () => {
  const a = leaf([1, 2, 3]);
  const b = leaf(Array.from({ length: 100 }, (_, i) => i));
  const optimizer = new Adam([a, b], { lr: 0.1 });
  expect([...(await a.data())]).toEqual([1, 2, 3]);
  expect((await b.data())[99]).toBe(99);
  optimizer.dispose();
  expect((await b.data())[99]).toBe(99);
  expect(a.grad).toBeNull();
});

test("a captured step follows learning rates set between replays, like an eager one", async () => {
  const run = async (captured: boolean) => {
    const a = leaf([1, -1]);
    const optimizer = new Adam([a], { lr: 0.1 });
    const step = () =>
      scope(() => {
        optimizer.zeroGrad();
        backward(sum(mul(a, a)));
        optimizer.step();
        return null;
      });
    const plan = captured ? await capture(device, step) : null;
    for (const lr of [0.1, 0.05, 0, 0.2]) {
      optimizer.setLr(lr);
      plan ? plan.replay() : step();
    }
    const values = [...(await a.data())];
    plan?.dispose();
    optimizer.dispose();
    return values;
  };
  expect(await run(true)).toEqual(await run(false));
});

test("wrong options and states are refused; nothing changes", async () => {
  const a = leaf([1]);
  expect(() => new Adam([], { lr: 0.1 })).toThrow(/no parameters/);
  expect(() => new Adam([a], { lr: -1 })).toThrow(ValueError);
  expect(() => new Adam([a], { lr: 0.1, betas: [0.9, 1] })).toThrow(/betas/);
  expect(() => new Adam([a, a], { lr: 0.1 })).toThrow(/twice/);
  expect(() => new SGD([a], { lr: 0.1, nesterov: true })).toThrow(/Nesterov/);
  const optimizer = new Adam([a], { lr: 0.1 });
  expect(() => optimizer.setLr(Number.NaN)).toThrow(ValueError);
  expect(() => optimizer.restore(new Map([["control", new Float32Array(3)]]))).toThrow(FileError);
  optimizer.dispose();
  expect(() => optimizer.step()).toThrow(/disposed/);
});
