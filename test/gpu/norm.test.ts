import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { normRef } from "../../src/check/references/norm.ts";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { groupNorm, layerNorm, rmsNorm } from "../../src/ops/norm.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref } from "../support/reference.ts";

let device: Device;
/** The same device with the launches that a real GPU gets. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

const LENGTHS = [1, 2, 3, 7, 17, 33, 65, 127, 257, 1000];

// One and two elements: with the usual eps the normalised value hardly depends on x, and differences of it drown in rounding.
const EPS = 0.1;

test.each(LENGTHS)("layerNorm and rmsNorm of rows of %i", async (length) => {
  const x = numbers([5, length], -3, 5, length);
  const weight = numbers([length], 0.5, 2, 2);
  const bias = numbers([length], -1, 1, 3);
  for (const on of [device, wide]) {
    await checkGradient(
      on,
      (x, w, b) => layerNorm(x, w, b, EPS),
      (x, w, b) => normRef(x, 1, length, EPS, true, w, b),
      [x, weight, bias],
      { what: "layerNorm" },
    );
    await checkGradient(
      on,
      (x, w) => rmsNorm(x, w, EPS),
      (x, w) => normRef(x, 1, length, EPS, false, w),
      [x, weight],
      { what: "rmsNorm" },
    );
    await checkGradient(
      on,
      (x) => layerNorm(x, null, null, EPS),
      (x) => normRef(x, 1, length, EPS, true),
      [x],
      { what: "plain" },
    );
  }
});

test.each([
  [[3, 6], 3],
  [[3, 8], 2],
  [[5, 12, 3], 4],
  [[2, 4, 2, 3], 1],
  [[40, 16], 4],
])("groupNorm of %j in %i groups", async (shape, groups) => {
  const channels = shape[1] as number;
  const inputs = [numbers(shape, -3, 5), numbers([channels], 0.5, 2, 2), numbers([channels], -1, 1, 3)];
  for (const on of [device, wide]) {
    await checkGradient(
      on,
      (x, w, b) => groupNorm(x, groups, w, b, EPS),
      (x, w, b) => normRef(x, groups, channels, EPS, true, w, b),
      inputs,
      { what: "groupNorm" },
    );
  }
});

test("parts of the gradient alone: only weight, only bias, only x", async () => {
  const inputs = [numbers([6, 8], -3, 5), numbers([8], 0.5, 2, 2), numbers([8], -1, 1, 3)];
  for (const constant of [
    [0, 2],
    [0, 1],
    [1, 2],
  ]) {
    await checkGradient(
      device,
      (x, w, b) => layerNorm(x, w, b),
      (x, w, b) => normRef(x, 1, 8, 1e-5, true, w, b),
      inputs,
      { constant },
    );
  }
  await checkGradient(
    device,
    (x, b) => layerNorm(x, null, b),
    (x, b) => normRef(x, 1, 8, 1e-5, true, undefined, b),
    [inputs[0] as Ref, inputs[2] as Ref],
  );
});

test("a mean far above the spread keeps its digits (O07)", async () => {
  const x = tensor(device, [[10000, 10000.5, 10001, 10001.5]]);
  for (const y of [layerNorm(x), groupNorm(x, 1)]) {
    expectClose(await y.data(), [-1.3416193, -0.4472064, 0.4472064, 1.3416193], { atol: 1e-3 });
  }
});

test("parameter gradients add up over backward passes and repeat bit by bit", async () => {
  const x = tensor(device, Float32Array.from(numbers([300, 12]).data), [300, 12]);
  const [weight, bias] = [ones(device, [12]), ones(device, [12])];
  weight.requiresGrad = true;
  bias.requiresGrad = true;
  const dy = tensor(device, Float32Array.from(numbers([300, 12], -1, 1, 9).data), [300, 12]);
  const read = async () => [...((await weight.grad?.data()) ?? []), ...((await bias.grad?.data()) ?? [])];
  backward(layerNorm(x, weight, bias), dy);
  const once = await read();
  backward(layerNorm(x, weight, bias), dy);
  expect(await read()).toEqual(once.map((g) => Math.fround(2 * g)));
});

test("a NaN stays in its row (O05)", async () => {
  const y = await layerNorm(
    tensor(device, [
      [1, Number.NaN, 3, 4],
      [1, 2, 3, 4],
    ]),
  ).data();
  expect([...y].map(Number.isFinite)).toEqual([false, false, false, false, true, true, true, true]);
});

test("empty tensors, and errors that name what does not fit", () => {
  expect(layerNorm(tensor(device, new Float32Array(0), [0, 3])).shape).toEqual([0, 3]);
  const x = tensor(device, [[1, 2, 3, 4]]);
  expect(() => layerNorm(x, ones(device, [3]))).toThrow("layerNorm: weight is [3] and x is [1, 4]; weight must be [4]");
  expect(() => rmsNorm(x, undefined, -1)).toThrow("rmsNorm: eps is -1");
  expect(() => groupNorm(x, 3)).toThrow("groupNorm: 3 groups do not divide the channels of [1, 4]");
});
