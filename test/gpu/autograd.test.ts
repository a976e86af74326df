import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { detach } from "../../src/autograd/graph.ts";
import { enableGrad, noGrad } from "../../src/autograd/mode.ts";
import type { Device } from "../../src/gpu/device.ts";
import { DisposedError, ShapeError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { add, mul } from "../../src/ops/binary.ts";
import { sum } from "../../src/ops/reduce.ts";
import { split } from "../../src/ops/slice.ts";
import { exp, square, tanh } from "../../src/ops/unary.ts";
import { fill, ones, tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { share } from "../../src/tensor/view.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

function leaf(values: number | number[], on = device): Tensor<"f32"> {
  const made = tensor(on, values);
  made.requiresGrad = true;
  return made;
}

const gradOf = async (x: Tensor) => [...((await x.grad?.data()) ?? [])];

test("a value used twice gets both gradients; detach cuts one off (O19)", async () => {
  const [w, x] = [leaf(3), leaf(2)];
  backward(mul(w, mul(w, x)));
  expect([await gradOf(w), await gradOf(x)]).toEqual([[12], [9]]);
  w.gradValid = false;
  backward(mul(w, detach(mul(w, x))));
  expect(await gradOf(w)).toEqual([6]);
  x.gradValid = false;
  backward(add(mul(x, x), x));
  expect(await gradOf(x)).toEqual([5]);
});

test("backward adds to gradients until they are cleared", async () => {
  const x = leaf([1, 2]);
  for (let i = 0; i < 3; i++) scope(() => backward(sum(square(x))));
  expect(await gradOf(x)).toEqual([6, 12]);
  x.gradValid = false;
  expect(x.grad).toBeNull();
  scope(() => backward(sum(square(x))));
  expect(await gradOf(x)).toEqual([2, 4]);
});

test("tied uses add up to what two copies get apart (O19)", async () => {
  const values = [0.5, -1, 2];
  const [tied, first, second] = [leaf(values), leaf(values), leaf(values)];
  const loss = (a: Tensor, b: Tensor) => sum(mul(tanh(a), exp(b)));
  backward(loss(tied, tied));
  backward(loss(first, second));
  const [a, b] = [await gradOf(first), await gradOf(second)];
  expectClose(
    await gradOf(tied),
    a.map((v, i) => v + (b[i] as number)),
    { rtol: 1e-6, atol: 1e-6 },
  );
});

test("a second backward is an error; with retainGraph it doubles exactly (O19)", async () => {
  const x = leaf([0.3, -0.7]);
  const y = sum(tanh(x));
  backward(y, undefined, { retainGraph: true });
  const once = await gradOf(x);
  backward(y);
  expect(await gradOf(x)).toEqual(once.map((v) => 2 * v));
  expect(() => backward(y)).toThrow(DisposedError);
  expect(() => backward(y)).toThrow(
    "the graph of sum was used up by an earlier backward; run the forward pass again or pass { retainGraph: true } the first time",
  );
  expect(await gradOf(x)).toEqual(once.map((v) => 2 * v));
});

test("an in-place change of a saved value is an error, and nothing is half done (O19)", async () => {
  const x = leaf([1, 2]);
  const y = sum(square(x));
  x.write([5, 6]);
  expect(() => backward(y)).toThrow(
    "backward: a value that square saved was overwritten in place since; run backward before changing it",
  );
  expect(x.grad).toBeNull();
  const z = sum(square(x));
  fill(x, 3);
  expect(() => backward(z)).toThrow(ValueError);
  const fresh = sum(square(x));
  backward(fresh);
  expect(await gradOf(x)).toEqual([6, 6]);
});

test("so is a change through the buffer that it is a window of", () => {
  const flat = ones(device, [128]);
  const x = share(flat, [64]);
  x.rebase(flat.storage.window(256, 256));
  x.requiresGrad = true;
  const y = sum(square(x));
  fill(flat, 2);
  expect(() => backward(y)).toThrow("overwritten in place");
});

test("a value that is not saved may change", async () => {
  const x = leaf([1, 2]);
  const y = sum(add(x, x));
  x.write([5, 6]);
  backward(y);
  expect(await gradOf(x)).toEqual([2, 2]);
});

test("several roots in one pass, with upstream gradients; unused outputs count as zero", async () => {
  const x = leaf([1, 2, 3, 4]);
  const [a, b] = split(square(x), [1, 3]);
  backward([a as Tensor, b as Tensor], [tensor(device, [10]), tensor(device, [1, 2, 3])]);
  expect(await gradOf(x)).toEqual([20, 4, 12, 24]);
  x.gradValid = false;
  const [, last] = split(square(x), [2, 2]);
  backward(sum(last as Tensor));
  expect(await gradOf(x)).toEqual([0, 0, 6, 8]);
});

test("an upstream gradient is left as it was", async () => {
  const [x, y] = [leaf([1, 2]), leaf([3, 4])];
  const dy = tensor(device, [1, 10]);
  backward(add(add(x, y), add(x, y)), dy);
  expect([await gradOf(x), await gradOf(y)]).toEqual([
    [2, 20],
    [2, 20],
  ]);
  expect([...(await dy.data())]).toEqual([1, 10]);
  const z = leaf([5]);
  backward(z, tensor(device, [7]));
  expect(await gradOf(z)).toEqual([7]);
});

test("what cannot be differentiated is said", () => {
  const x = leaf([1, 2]);
  expect(() => backward(ones(device, []))).toThrow(
    "backward: the tensor does not depend on anything that requires a gradient",
  );
  expect(() => backward(square(x))).toThrow(
    "backward: the tensor is [2]; reduce it to one element (sum, mean) or pass an upstream gradient of its shape",
  );
  expect(() => backward(square(x), ones(device, [3]))).toThrow(ShapeError);
  const y = sum(x);
  y.dispose();
  expect(() => backward(y)).toThrow("backward: the tensor [] was disposed");
});

test("noGrad records nothing, enableGrad does inside it", () => {
  const x = leaf([1]);
  const y = noGrad(() => square(x));
  expect([y.requiresGrad, y.origin]).toEqual([false, null]);
  expect(noGrad(() => enableGrad(() => square(x))).requiresGrad).toBe(true);
  expect(() =>
    noGrad(() => {
      throw new Error("inside");
    }),
  ).toThrow("inside");
  expect(square(x).requiresGrad).toBe(true);
});

test("intermediates may be disposed before backward", async () => {
  const x = leaf([0.1, 0.2]);
  const y = scope(() => sum(square(tanh(exp(x)))));
  backward(y);
  const slope = (v: number) => 2 * Math.tanh(Math.exp(v)) * (1 - Math.tanh(Math.exp(v)) ** 2) * Math.exp(v);
  expectClose(await gradOf(x), [slope(0.1), slope(0.2)]);
});
