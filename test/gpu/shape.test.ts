import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { Device } from "../../src/gpu/device.ts";
import { ShapeError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { cast } from "../../src/ops/cast.ts";
import { sum } from "../../src/ops/reduce.ts";
import { flatten, reshape, unsqueeze } from "../../src/ops/reshape.ts";
import { permute, transpose } from "../../src/ops/transpose.ts";
import { ones, tensor, zeros } from "../../src/tensor/create.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { at, indexOf, numbers, ODD_SIZES, type Ref, ref } from "../support/reference.ts";

let device: Device;
/** The same, treated as what it is not: an emulation or a GPU. The launches differ. */
let other: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  other = new Device(device.gpu, device.info, !device.software, false);
});

function permuteRef(x: Ref, order: readonly number[]): Ref {
  const shape = order.map((axis) => x.shape[axis] as number);
  return ref(shape, (i) => {
    const to = indexOf(i, shape);
    const from: number[] = [];
    order.forEach((axis, k) => {
      from[axis] = to[k] as number;
    });
    return at(x, from);
  });
}

test("reshape shares memory and passes gradients", async () => {
  const x = tensor(device, [
    [1, 2, 3],
    [4, 5, 6],
  ]);
  const y = reshape(x, [3, -1]);
  expect(y.shape).toEqual([3, 2]);
  expect(y.storage).toBe(x.storage);
  expect(flatten(x).shape).toEqual([6]);
  expect(flatten(ones(device, [2, 3, 4, 5]), 1, 2).shape).toEqual([2, 12, 5]);
  expect(unsqueeze(x, -1).shape).toEqual([2, 3, 1]);
  expect(reshape(zeros(device, [0, 3]), [3, -1]).shape).toEqual([3, 0]);
  await checkGradient(
    device,
    (x) => reshape(x, [2, 6]),
    (x) => ({ ...x, shape: [2, 6] }),
    [numbers([3, 4])],
  );
  expect(() => reshape(x, [4, 2])).toThrow("reshape: 6 elements do not fit [4, 2]; the sizes must multiply to 6");
  expect(() => reshape(x, [-1, -1])).toThrow(ShapeError);
});

test("transpose at odd sizes", async () => {
  for (const on of [device, other]) {
    for (const m of ODD_SIZES) {
      for (const n of [1, 8, 33]) {
        const x = numbers([m, n]);
        const what = `transpose ${on.software ? "on an emulation" : "by tiles"}`;
        await checkGradient(
          on,
          (x) => transpose(x),
          (x) => permuteRef(x, [1, 0]),
          [x],
          { what, samples: 2 },
        );
      }
    }
    await checkGradient(
      on,
      (x) => transpose(x),
      (x) => permuteRef(x, [0, 2, 1]),
      [numbers([3, 40, 33])],
      { samples: 2 },
    );
  }
});

test("permute in any order", async () => {
  const cases: [number[], number[]][] = [
    [
      [2, 9, 17],
      [0, 2, 1],
    ],
    [
      [2, 33, 40, 1],
      [0, 2, 3, 1],
    ],
    [
      [4, 5, 6],
      [2, 1, 0],
    ],
    [
      [2, 5, 3, 8],
      [0, 2, 1, 3],
    ],
    [
      [2, 5, 3, 7],
      [0, 2, 1, 3],
    ],
    [
      [3, 4, 5, 6],
      [3, 1, 0, 2],
    ],
    [
      [5, 4],
      [0, 1],
    ],
    [
      [1, 6, 1],
      [2, 0, 1],
    ],
    [
      [2, 3, 1, 4, 5],
      [4, 2, 0, 1, 3],
    ],
  ];
  for (const [shape, order] of cases) {
    await checkGradient(
      device,
      (x) => permute(x, order),
      (x) => permuteRef(x, order),
      [numbers(shape)],
      { what: `permute ${order}` },
    );
  }
  const x = tensor(
    device,
    [
      [1, 2],
      [3, 4],
    ],
    undefined,
    "i32",
  );
  expect([...(await transpose(x).data())]).toEqual([1, 3, 2, 4]);
  expect(permute(ones(device, [1, 5]), [1, 0]).shape).toEqual([5, 1]);
  expect(() => permute(x, [0, 0])).toThrow(
    "permute: [0, 0] is no order of the axes of [2, 2]; name each of its 2 axes once",
  );
  expect(() => transpose(tensor(device, [1]))).toThrow(ShapeError);
});

test("cast cuts towards zero and stays in range", async () => {
  const x = tensor(device, [1.9, -1.9, 3e9, -3e9, 0, 4e10, 7]);
  expect([...(await cast(x, "i32").data())]).toEqual([1, -1, 2147483520, -2147483648, 0, 2147483520, 7]);
  expect([...(await cast(x, "u32").data())]).toEqual([1, 0, 3000000000, 0, 0, 4294967040, 7]);
  const whole = tensor(device, [-1, 5], undefined, "i32");
  expectClose(await cast(whole, "f32").data(), [-1, 5]);
  expect([...(await cast(whole, "u32").data())]).toEqual([4294967295, 5]);
  x.requiresGrad = true;
  const same = cast(x, "f32");
  backward(sum(same));
  expectClose((await x.grad?.data()) ?? [], [1, 1, 1, 1, 1, 1, 1]);
});
