import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { sum } from "../../src/ops/reduce.ts";
import { log } from "../../src/ops/unary.ts";
import { equal, greater, less, where } from "../../src/ops/where.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { broadcast, numbers, ODD_SIZES, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

test("where and its gradients, with broadcasting", async () => {
  for (const n of ODD_SIZES) {
    const mask = Array.from({ length: n }, (_, i) => (i * 7) % 3);
    const held = tensor(device, mask, [n], "u32");
    const choose = (a: number, b: number, m: number) => (m === 0 ? b : a);
    for (const shapes of [
      [[n], [n]],
      [[2, n], [n]],
      [[], [3, 1]],
    ] as const) {
      const [a, b] = [numbers(shapes[0], -1, 1, 1), numbers(shapes[1], -1, 1, 2)];
      await checkGradient(
        device,
        (a, b) => where(held, a, b),
        (a, b) => broadcast(choose, a, b, ref([n], mask)),
        [a, b],
      );
    }
  }
});

test("a value that is not taken spoils nothing", async () => {
  const x = tensor(device, [1, Number.NaN, 4]);
  x.requiresGrad = true;
  const y = where(tensor(device, [1, 0, 1], undefined, "i32"), log(x), -2);
  expect([...(await y.data())]).toEqual([0, -2, Math.fround(Math.log(4))]);
  backward(sum(where(tensor(device, [1, 0, 1], undefined, "i32"), x, 0)));
  expect([...((await x.grad?.data()) ?? [])]).toEqual([1, 0, 1]);
});

test("comparisons give 0 and 1", async () => {
  const x = tensor(device, [
    [1, 2, 3],
    [3, 2, 1],
  ]);
  const bound = tensor(device, [2, 2, 2]);
  expect([...(await less(x, 2).data())]).toEqual([1, 0, 0, 0, 0, 1]);
  expect([...(await greater(x, bound).data())]).toEqual([0, 0, 1, 1, 0, 0]);
  expect([...(await equal(2, x).data())]).toEqual([0, 1, 0, 0, 1, 0]);
  expect(less(x, 2).requiresGrad).toBe(false);
  expect(() => less(1, 2)).toThrow("less: both operands are numbers; make one of them a tensor");
  expect(() => where(ones(device, [3]), 1, 2)).toThrow(
    "where: the tensor [3] holds f32 and the operation needs u32 or i32 there",
  );
});
