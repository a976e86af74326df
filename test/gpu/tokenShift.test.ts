import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { shiftRef } from "../../src/check/references/wkv.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { concat } from "../../src/ops/concat.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { tokenShift } from "../../src/ops/wkv/shift.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** All mixed sequences and then the last steps, in one row. */
function run(kept: boolean, given: boolean, x: Tensor, ...rest: Tensor[]): Tensor {
  const before = given ? (rest.pop() as Tensor) : null;
  const { mixed, last } = tokenShift(x, before, rest, { kept });
  return concat([...mixed, last].map((one) => reshape(one, [one.size])));
}

/** The same in float64. */
function reference(kept: boolean, given: boolean, x: Ref, ...rest: Ref[]): Ref {
  const before = given ? rest.pop() : undefined;
  return shiftRef(x, before, rest, kept);
}

test.each([
  { shape: [1, 1, 1], ways: 1, kept: false, given: false },
  { shape: [2, 3, 8], ways: 5, kept: true, given: true },
  { shape: [3, 1, 7], ways: 2, kept: false, given: true },
  { shape: [2, 33, 12], ways: 4, kept: true, given: false },
  { shape: [1, 65, 3], ways: 6, kept: false, given: true },
])("$ways ways of mixing $shape", async ({ shape, ways, kept, given }) => {
  const mixes = Array.from({ length: ways }, (_, n) => numbers([1, 1, shape[2]!], -0.5, 1.5, 10 + n));
  const before = given ? [numbers([shape[0]!, shape[2]!], -2, 2, 3)] : [];
  await checkGradient(
    device,
    (x, ...rest) => run(kept, given, x!, ...rest),
    (x, ...rest) => reference(kept, given, x!, ...rest),
    [numbers(shape), ...mixes, ...before],
  );
});

test("a way that nothing uses, and gradients that add up bit by bit", async () => {
  const upload = (x: Ref) => {
    const leaf = tensor(device, Float32Array.from(x.data), x.shape);
    leaf.requiresGrad = true;
    return leaf;
  };
  const x = upload(numbers([2, 40, 8]));
  const mixes = [upload(numbers([8], 0, 1, 2)), upload(numbers([8], 0, 1, 3))];
  const dy = upload(numbers([2, 40, 8], -1, 1, 4));
  const go = () => scope(() => backward(tokenShift(x, null, mixes).mixed[0]!, dy));
  go();
  const once = await mixes[0]!.grad!.data();
  expect((await mixes[1]!.grad!.data()).every((g) => g === 0)).toBe(true);
  go();
  expect(await mixes[0]!.grad!.data()).toEqual(once.map((g) => 2 * g));
});

test("errors name what does not fit", () => {
  const x = zeros(device, [2, 3, 4]);
  expect(() => tokenShift(x, null, [zeros(device, [5])])).toThrow(
    "tokenShift: a mix is [5] and x is [2, 3, 4]; it must have 4 values",
  );
  expect(() => tokenShift(x, zeros(device, [3, 4]), [zeros(device, [4])])).toThrow("tokenShift: before is [3, 4]");
  expect(() => tokenShift(zeros(device, [2, 0, 4]), null, [zeros(device, [4])])).toThrow("with at least one step");
});
