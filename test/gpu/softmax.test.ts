import { beforeAll, expect, test } from "vitest";
import softmaxKernel from "../../kernels/softmax/softmax.wgsl";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { logSoftmax, softmax } from "../../src/ops/softmax.ts";
import { empty, tensor } from "../../src/tensor/create.ts";
import { axisOf } from "../../src/tensor/shape.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { broadcast, numbers, type Ref, reduceRef, ref } from "../support/reference.ts";

let device: Device;
/** The same device with the launches that a real GPU gets: up to 256 invocations a row. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

const LENGTHS = [1, 2, 3, 7, 17, 33, 65, 127, 257, 1000];

function logReference(x: Ref, axis: number): Ref {
  const at = axisOf(axis, x.shape.length, "reference");
  const lse = reduceRef(x, [at], (values) => {
    const top = Math.max(...values);
    return top + Math.log(values.reduce((sum, v) => sum + Math.exp(v - top), 0));
  });
  return broadcast((v, l) => v - l, x, lse);
}
const reference = (x: Ref, axis: number) => broadcast(Math.exp, logReference(x, axis));

test.each(LENGTHS)("rows of %i: values and gradients", async (length) => {
  const x = numbers([3, length], -6, 6, length);
  for (const on of [device, wide]) {
    await checkGradient(
      on,
      (x) => softmax(x),
      (x) => reference(x, -1),
      [x],
      { what: "softmax" },
    );
    await checkGradient(
      on,
      (x) => logSoftmax(x),
      (x) => logReference(x, -1),
      [x],
      { what: "logSoftmax" },
    );
  }
});

test.each([
  [[5, 6], 0],
  [[5, 8], 0],
  [[2, 7, 5], 1],
  [[2, 7, 12], 1],
  [[3, 4, 1], 1],
  [[70, 2, 3], 0],
  [[6], 0],
])("%j along axis %i", async (shape, axis) => {
  const x = numbers(shape, -6, 6);
  await checkGradient(
    device,
    (x) => softmax(x, axis),
    (x) => reference(x, axis),
    [x],
    { what: "softmax" },
  );
  await checkGradient(
    device,
    (x) => logSoftmax(x, axis),
    (x) => logReference(x, axis),
    [x],
    { what: "logSoftmax" },
  );
});

test("large logits neither overflow nor vanish (O02)", async () => {
  expectClose(await softmax(tensor(device, [1000, 999, -1000])).data(), [0.73105858, 0.26894142, 0]);
  expectClose(await logSoftmax(tensor(device, [1000, 999, -1000])).data(), [-0.31326169, -1.31326169, -2000.31326169]);
});

test("-inf is data (O02)", async () => {
  const infinity = Number.POSITIVE_INFINITY;
  expectClose(await softmax(tensor(device, [-infinity, 1, 2])).data(), [0, 0.26894142, 0.73105858]);
  expectClose(await softmax(tensor(device, [[-infinity], [1], [2]]), 0).data(), [0, 0.26894142, 0.73105858]);
  expectClose(await logSoftmax(tensor(device, [-infinity, 1, 2])).data(), [-infinity, -1.31326169, -0.31326169]);
  expectClose(await softmax(tensor(device, [-infinity, -infinity, -infinity, -infinity])).data(), [0, 0, 0, 0]);
});

test("a NaN stays visible in its row and in no other (O05)", async () => {
  for (const row of [
    [1, Number.NaN, 3],
    [1, 2, Number.NaN, 4],
  ]) {
    const y = await softmax(tensor(device, [row, row.map(() => 0)])).data();
    expect(y.slice(0, row.length).every(Number.isFinite)).toBe(false);
    expectClose(
      y.slice(row.length),
      row.map(() => 1 / row.length),
    );
  }
});

test("70,000 workgroups of a row each (more than 65,535)", async () => {
  const rows = 70_000;
  const x = tensor(
    device,
    Float32Array.from({ length: rows * 4 }, (_, i) => i % 7),
    [rows, 4],
  );
  const y = empty(device, [rows, 4]);
  device.dispatch(softmaxKernel, "forward", { x, y }, { rows, words: 1, inner: 1 }, [rows], { LANES: 1, ROWS: 1 });
  expectClose(await y.data(), reference(ref([rows, 4], await x.data()), -1).data);
});

test("empty tensors and wrong axes", async () => {
  expect(softmax(tensor(device, new Float32Array(0), [0, 3])).shape).toEqual([0, 3]);
  expect(softmax(tensor(device, new Float32Array(0), [3, 0])).shape).toEqual([3, 0]);
  expect(() => softmax(tensor(device, [1, 2]), 1)).toThrow("softmax: axis 1 is outside a tensor of 1 axes");
});
