import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { ShapeError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { concat, stack } from "../../src/ops/concat.ts";
import { gather, indexSelect } from "../../src/ops/gather.ts";
import { chunk, slice, split } from "../../src/ops/slice.ts";
import { ones, tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { at, indexOf, numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

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
  const weight = tensor(device, new Float32Array(8), [4, 2]);
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
