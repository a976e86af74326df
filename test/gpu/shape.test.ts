import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { Device } from "../../src/gpu/device.ts";
import { ShapeError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { cast } from "../../src/ops/cast.ts";
import { concat, stack } from "../../src/ops/concat.ts";
import { gather, indexSelect } from "../../src/ops/gather.ts";
import { sum } from "../../src/ops/reduce.ts";
import { flatten, reshape, unsqueeze } from "../../src/ops/reshape.ts";
import { chunk, slice, split } from "../../src/ops/slice.ts";
import { permute, transpose } from "../../src/ops/transpose.ts";
import { ones, tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
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

function sliceRef(x: Ref, axis: number, start: number, end: number): Ref {
  const shape = x.shape.with(axis, Math.max(0, end - start));
  return ref(shape, (i) => {
    const index = indexOf(i, shape);
    return at(x, index.with(axis, (index[axis] as number) + start));
  });
}

function concatRef(axis: number, ...parts: readonly Ref[]): Ref {
  const first = parts[0] as Ref;
  const shape = first.shape.with(
    axis,
    parts.reduce((n, part) => n + (part.shape[axis] as number), 0),
  );
  return ref(shape, (i) => {
    const index = indexOf(i, shape);
    let place = index[axis] as number;
    for (const part of parts) {
      const size = part.shape[axis] as number;
      if (place < size) return at(part, index.with(axis, place));
      place -= size;
    }
    throw new Error("outside");
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

test("slice along any axis", async () => {
  for (const shape of [[7], [8, 12], [5, 6, 3], [3, 8, 4]]) {
    for (let axis = 0; axis < shape.length; axis++) {
      const n = shape[axis] as number;
      for (const [start, end] of [
        [0, n],
        [1, n - 1],
        [n - 1, n],
        [0, 4],
        [2, 2],
      ] as const) {
        const stop = Math.min(end, n);
        await checkGradient(
          device,
          (x) => slice(x, axis, start, end),
          (x) => sliceRef(x, axis, start, stop),
          [numbers(shape)],
          { what: `slice ${axis} ${start} ${end}` },
        );
      }
    }
  }
  const x = tensor(device, [1, 2, 3, 4, 5]);
  expect([...(await slice(x, 0, -2).data())]).toEqual([4, 5]);
  expect([...(await slice(x, 0, 1, -1).data())]).toEqual([2, 3, 4]);
  expect(slice(x, 0, 4, 2).shape).toEqual([0]);
  expect(() => slice(x, 0, 0.5)).toThrow(ShapeError);
});

test("split is the same as slices, also where some pieces are unused", async () => {
  for (const [shape, axis, sizes] of [
    [[4, 12], 1, [4, 8]],
    [[3, 7], 1, [1, 0, 6]],
    [[9, 2], 0, [2, 3, 4]],
  ] as const) {
    const starts = sizes.map((_, i) => sizes.slice(0, i).reduce((a: number, b) => a + b, 0));
    for (const used of sizes.keys()) {
      const start = starts[used] as number;
      const end = start + (sizes[used] as number);
      await checkGradient(
        device,
        (x) => split(x, sizes, axis)[used] as typeof x,
        (x) => sliceRef(x, axis, start, end),
        [numbers(shape)],
        { what: "split" },
      );
    }
    await checkGradient(
      device,
      (x) => concat(split(x, sizes, axis), axis),
      (x) => x,
      [numbers(shape)],
      { what: "split and concat" },
    );
  }
  expect(chunk(ones(device, [2, 6]), 3).map((piece) => piece.shape)).toEqual([
    [2, 2],
    [2, 2],
    [2, 2],
  ]);
  expect(() => chunk(ones(device, [2, 6]), 4)).toThrow(
    "chunk: axis -1 of [2, 6] does not divide into 4; use split with the sizes you want",
  );
  expect(() => split(ones(device, [5]), [2, 2])).toThrow("split: the sizes [2, 2] do not add up to the 5");
});

test("concat along any axis, with empty tensors (O11)", async () => {
  const cases: [number, number[][]][] = [
    [
      0,
      [
        [2, 3],
        [4, 3],
      ],
    ],
    [
      1,
      [
        [3, 4],
        [3, 8],
        [3, 4],
      ],
    ],
    [
      1,
      [
        [3, 1],
        [3, 6],
      ],
    ],
    [
      0,
      [
        [0, 5],
        [2, 5],
      ],
    ],
    [
      -1,
      [
        [2, 3, 4],
        [2, 3, 0],
      ],
    ],
    [
      1,
      [
        [2, 3, 4],
        [2, 1, 4],
      ],
    ],
  ];
  for (const [axis, shapes] of cases) {
    const positive = axis < 0 ? axis + (shapes[0]?.length ?? 0) : axis;
    const inputs = shapes.map((shape, i) => numbers(shape, -1, 1, i + 1));
    await checkGradient(
      device,
      (...x) => concat(x, axis),
      (...x) => concatRef(positive, ...x),
      inputs,
      { what: `concat ${axis}` },
    );
  }
  expect([...(await stack([tensor(device, [1, 2]), tensor(device, [3, 4])], -1).data())]).toEqual([1, 3, 2, 4]);
  expect(stack([ones(device, [2, 3]), ones(device, [2, 3])]).shape).toEqual([2, 2, 3]);
  expect(() => concat([])).toThrow(ValueError);
  expect(() => concat([ones(device, [2, 3]), ones(device, [2, 4])])).toThrow(
    "concat: [2, 3] and [2, 4] differ outside axis 0; make all other sizes equal",
  );
});

test("gather picks a position's own, with a gradient that adds up repeats", async () => {
  const picks = (x: Ref, ids: number[], shape: number[], axis: number) =>
    ref(shape, (i) => {
      const index = indexOf(i, shape);
      const id = ids[i] as number;
      return id < 0 || id >= (x.shape[axis] as number) ? 0 : at(x, index.with(axis, id));
    });
  for (const dtype of ["u32", "i32"] as const) {
    const ids = [0, 2, 2, 1, 0, 0, -1, 3, 1, 2, 2, 2];
    const held = tensor(device, ids, [3, 2, 2], dtype);
    await checkGradient(
      device,
      (x) => gather(x, 1, held),
      (x) => picks(x, ids, [3, 2, 2], 1),
      [numbers([3, 3, 2])],
      { what: "gather" },
    );
  }
  const last = tensor(device, [[1], [0]], undefined, "u32");
  await checkGradient(
    device,
    (x) => gather(x, -1, last),
    (x) => picks(x, [1, 0], [2, 1], 1),
    [numbers([2, 5])],
    { what: "gather" },
  );
  expect(() => gather(ones(device, [2, 3]), 1, ones(device, [2, 1]))).toThrow(
    "gather: the tensor [2, 1] holds f32 and the operation needs u32 or i32 there",
  );
  expect(() => gather(ones(device, [2, 3]), 1, zeros(device, [3, 1], "u32"))).toThrow(ShapeError);
});

test("indexSelect picks slices; repeated ids add up exactly, twice in a row (O17)", async () => {
  const weight = tensor(device, zerosOf(8), [4, 2]);
  weight.requiresGrad = true;
  const ids = tensor(device, [0, 0, 2, 0], undefined, "u32");
  scope(() =>
    backward(
      indexSelect(weight, 0, ids),
      tensor(device, [
        [1, 10],
        [2, 20],
        [3, 30],
        [4, 40],
      ]),
    ),
  );
  expect([...((await weight.grad?.data()) ?? [])]).toEqual([7, 70, 0, 0, 3, 30, 0, 0]);
  const many = tensor(device, new Uint32Array(4096).fill(1));
  for (let run = 0; run < 2; run++) {
    weight.gradValid = false;
    scope(() => backward(indexSelect(weight, 0, many), ones(device, [4096, 2])));
    expect([...((await weight.grad?.data()) ?? [])]).toEqual([0, 0, 4096, 4096, 0, 0, 0, 0]);
  }
  const order = tensor(device, [2, 0, 1], undefined, "i32");
  expect([
    ...(await indexSelect(
      tensor(device, [
        [1, 2, 3],
        [4, 5, 6],
      ]),
      1,
      order,
    ).data()),
  ]).toEqual([3, 1, 2, 6, 4, 5]);
});

function zerosOf(n: number): Float32Array<ArrayBuffer> {
  return new Float32Array(n);
}

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
