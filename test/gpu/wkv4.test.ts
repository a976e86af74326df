import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { noGrad } from "../../src/autograd/mode.ts";
import { wkv4Ref } from "../../src/check/references/wkv.ts";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { concat } from "../../src/ops/concat.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { slice } from "../../src/ops/slice.ts";
import { wkv4 } from "../../src/ops/wkv/wkv4.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
/** The same device, which takes itself for a GPU and cuts long sequences into parts. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

const inputs = (B: number, T: number, C: number, spread = 3): [Ref, Ref, Ref, Ref] => [
  numbers([C], -3, 1, 4),
  numbers([C], -1, 1, 3),
  numbers([B, T, C], -spread, spread, 1),
  numbers([B, T, C], -2, 2, 2),
];

type Inputs = [Tensor, Tensor, Tensor, Tensor];

const average =
  (parts?: number) =>
  (...x: Tensor[]) =>
    wkv4(...(x as Inputs), null, { parts }).y;

/** Launches that `run` records on a device; its pipelines are ready if it ran before, and `sync` came after. */
function launches(on: Device, run: () => unknown): number {
  on.flush();
  const before = on.stats.dispatches;
  run();
  on.flush();
  return on.stats.dispatches - before;
}

const upload = (x: Ref) => tensor(device, Float32Array.from(x.data), x.shape);

test.each([
  [1, 1, 1],
  [2, 2, 3],
  [1, 3, 7],
  [3, 5, 33],
  [2, 17, 65],
  [1, 33, 2],
  [2, 65, 5],
  [1, 257, 3],
])("values and gradients of %i sequences of %i steps of %i channels", async (B, T, C) => {
  await checkGradient(device, average(), wkv4Ref, inputs(B, T, C), { samples: 6 });
});

describe("a sequence in parts", () => {
  test.each([
    [1, 9, 2],
    [2, 37, 3],
    [1, 64, 16],
    [2, 130, 7],
  ])("%i sequences of %i steps in %i parts", async (B, T, parts) => {
    for (const on of [device, wide]) await checkGradient(on, average(parts), wkv4Ref, inputs(B, T, 5), { samples: 6 });
  });

  test("is what a GPU gets for few channels", async () => {
    const x = inputs(1, 200, 3);
    await checkGradient(wide, average(), wkv4Ref, x, { samples: 6 });
    const count = async (on: Device, T: number) => {
      const x = inputs(1, T, 3).map(({ data, shape }) => tensor(on, Float32Array.from(data), shape)) as Inputs;
      const run = () => noGrad(() => wkv4(...x));
      run();
      await on.sync();
      return launches(on, run);
    };
    const counts = [await count(wide, 2000), await count(wide, 200), await count(wide, 7), await count(device, 200)];
    expect(counts).toEqual([2, 1, 1, 1]);
  });

  test("takes one launch forward and two backward at the size of the bench", async () => {
    for (const on of [wide, device]) {
      const x = inputs(4, 128, 128).map(({ data, shape }) => tensor(on, Float32Array.from(data), shape)) as Inputs;
      for (const one of x) one.requiresGrad = true;
      const upstream = zeros(on, x[2].shape);
      const counted = () =>
        scope(() => {
          let y = x[2];
          const forward = launches(on, () => {
            y = wkv4(...x).y;
          });
          return [forward, launches(on, () => backward(y, upstream))];
        });
      counted();
      await on.sync();
      // Where gradients are there already they are added to, by other pipelines.
      for (const leaf of x) leaf.gradValid = false;
      expect(counted()).toEqual([1, 2]);
    }
  });
});

test("gradients of the state before, through sequence and parts", async () => {
  const [B, T, C] = [2, 21, 3];
  const pp = numbers([1, B, C], -2, 2, 6);
  const states = [numbers([1, B, C], -2, 2, 8), numbers([1, B, C], 0.5, 2, 9)];
  for (const parts of [1, 4]) {
    await checkGradient(
      device,
      (decay, first, k, v, aa, bb, pp) => wkv4(decay!, first!, k!, v!, concat([aa!, bb!, pp!]), { parts }).y,
      (decay, first, k, v, aa, bb, pp) => {
        const state = ref([3, B, C], [...aa!.data, ...bb!.data, ...pp!.data]);
        return wkv4Ref(decay!, first!, k!, v!, state);
      },
      [...inputs(B, T, C), ...states, pp],
      { constant: [6], samples: 6 },
    );
  }
});

/** The sequence cut at `cuts`, with the state handed on. */
function inPieces(cuts: readonly number[], parts: number, decay: Tensor, first: Tensor, k: Tensor, v: Tensor) {
  let state: Tensor<"f32"> | null = null;
  const ys = [...cuts, k.shape[1] as number].map((end, i) => {
    const begin = cuts[i - 1] ?? 0;
    const result = wkv4(decay, first, slice(k, 1, begin, end), slice(v, 1, begin, end), state, { parts });
    state = result.state;
    return result.y;
  });
  return concat(ys, 1);
}

test("gradients flow through the state from piece to piece", async () => {
  for (const parts of [1, 2]) {
    await checkGradient(
      device,
      (decay, first, k, v) => inPieces([1, 9, 22], parts, decay!, first!, k!, v!),
      wkv4Ref,
      inputs(2, 30, 3),
      { samples: 6 },
    );
  }
});

test("pieces of any length equal one run bit by bit", async () => {
  const x = inputs(2, 65, 8).map(upload) as Inputs;
  const whole = noGrad(() => wkv4(...x));
  for (const cuts of [[1, 3], [16, 32, 48, 64], Array.from({ length: 64 }, (_, i) => i + 1)]) {
    const pieces = scope(() => noGrad(() => inPieces(cuts, 1, ...x)));
    expect(await pieces.data()).toEqual(await whole.y.data());
  }
});

test("huge keys (O06)", async () => {
  const column = (values: readonly number[]) => tensor(device, values, [1, values.length, 1]);
  const decay = tensor(device, [Math.log(0.5)]);
  const first = tensor(device, [0.3]);
  const v = [1, 2, 3, 4, -2];
  const cases = [
    { k: [100, -100, 95, 60, 98], v, y: [1, 1, 1.0295481, 1.0359724, -0.317093] },
    { k: [0.5, -0.5, 1, 0], v: v.slice(0, 4), y: [1, 1.3318122, 2.5059485, 2.9541736] },
  ];
  for (const { k, v, y } of cases) {
    for (const parts of [1, 2]) {
      const run = wkv4(decay, first, column(k), column(v), null, { parts }).y;
      expectClose(await run.data(), y, { atol: 1e-5, rtol: 0 });
    }
    const halves = inPieces([2], 1, decay, first, column(k), column(v));
    expectClose(await halves.data(), y, { atol: 1e-5, rtol: 0 });
  }
  const equal = wkv4(decay, first, column(new Array(8).fill(100)), column(new Array(8).fill(3)));
  expectClose(await equal.y.data(), new Array(8).fill(3));
});

test.each([-12, 6, 200])("decay %f, keys from -300 to 300: finite gradients that agree with float64", async (decay) => {
  const x = inputs(1, 40, 4, 300);
  x[0] = ref([4], [decay, decay, decay, decay]);
  await checkGradient(device, average(), wkv4Ref, x, { constant: decay > 10 ? [0] : [], samples: 10 });
  await checkGradient(device, average(5), wkv4Ref, x, { constant: [0], samples: 10 });
});

test("a hundred thousand steps", async () => {
  const T = 100_000;
  const x = inputs(1, T, 1);
  const { y, state } = noGrad(() => wkv4(...(x.map(upload) as Inputs)));
  const last = 400; // older steps have faded below the precision of float64
  const tail = (all: Ref) => ref([1, last, 1], all.data.slice(T - last));
  const end = wkv4Ref(x[0], x[1], tail(x[2]), tail(x[3]));
  expectClose((await y.data()).slice(-5), end.data.slice(-5));
  expect([...(await state.data())].every(Number.isFinite)).toBe(true);
});

test.each([1, 3])("sequences of unequal lengths, in %i parts", async (parts) => {
  const [T, lengths] = [20, [13, 20, 0]];
  const x = inputs(3, T, 5);
  const within = (y: Ref) =>
    ref(y.shape, (i) => (Math.floor(i / 5) % T < lengths[Math.floor(i / 5 / T)]! ? y.data[i]! : 0));
  const op = (...given: Tensor[]) =>
    wkv4(...(given as Inputs), null, { parts, lengths: tensor(given[0]!.device, lengths, [3], "i32") });
  for (const on of [device, wide]) {
    await checkGradient(
      on,
      (...given) => op(...given).y,
      (...given) => within(wkv4Ref(...(given as typeof x))),
      x,
    );
  }
  const [decay, first, k, v] = x.map(upload) as Inputs;
  const { state } = noGrad(() => op(decay, first, k, v));
  const short = noGrad(() =>
    wkv4(decay, first, slice(slice(k, 0, 0, 1), 1, 0, 13), slice(slice(v, 0, 0, 1), 1, 0, 13)),
  );
  const mine = slice(state, 1, 0, 1);
  expectClose(await mine.data(), await short.state.data(), { atol: 1e-5 });
});

test("a state of zeros is an empty one, and no steps hand it on", async () => {
  const x = inputs(2, 6, 3).map(upload) as Inputs;
  const fresh = wkv4(...x);
  const zeroed = wkv4(...x, zeros(device, [3, 2, 3]));
  expect(await zeroed.y.data()).toEqual(await fresh.y.data());
  const none = zeros(device, [2, 0, 3]);
  const passed = wkv4(x[0], x[1], none, none, fresh.state);
  expect(passed.y.shape).toEqual([2, 0, 3]);
  expect(await passed.state.data()).toEqual(await fresh.state.data());
});

test("repeats bit by bit, and adds to gradients that are there", async () => {
  const leaves = inputs(3, 50, 9).map((x) => {
    const leaf = upload(x);
    leaf.requiresGrad = true;
    return leaf;
  }) as Inputs;
  const dy = upload(numbers([3, 50, 9], -1, 1, 5));
  const read = async () => (await Promise.all(leaves.map(({ grad }) => grad!.data()))).flatMap((g) => [...g]);
  const run = () => scope(() => backward(wkv4(...leaves).y, dy));
  run();
  const once = await read();
  for (const leaf of leaves) leaf.gradValid = false;
  run();
  expect(await read()).toEqual(once);
  run();
  expect(await read()).toEqual(once.map((g) => Math.fround(2 * g)));
});

test("one launch forward and two back, and memory that comes back", async () => {
  const leaves = inputs(1, 20, 4).map((x) => {
    const leaf = upload(x);
    leaf.requiresGrad = true;
    return leaf;
  }) as Inputs;
  const dy = upload(numbers([1, 20, 4]));
  const live = device.stats.memory.live;
  scope(() => {
    let y: Tensor | null = null;
    expect(launches(device, () => (y = wkv4(...leaves).y))).toBe(1);
    expect(launches(device, () => backward(y!, dy))).toBe(2);
  });
  for (const leaf of leaves) leaf.gradSlot?.dispose();
  expect(device.stats.memory.live).toBe(live);
});

test("errors name what does not fit", () => {
  const [decay, first, k, v] = inputs(2, 3, 4).map(upload) as Inputs;
  expect(() => wkv4(decay, first, k, reshape(v, [2, 4, 3]))).toThrow(
    "wkv4: k is [2, 3, 4] and v is [2, 4, 3]; they must be equal",
  );
  expect(() => wkv4(decay, zeros(device, [3]), k, v)).toThrow(
    "wkv4: timeFirst is [3] and k is [2, 3, 4]; timeFirst must be [4]",
  );
  expect(() => wkv4(decay, first, k, v, zeros(device, [2, 3, 4]))).toThrow(
    "wkv4: state is [2, 3, 4] and k is [2, 3, 4]; it must be [3, 2, 4]",
  );
  expect(() => wkv4(decay, first, reshape(k, [6, 4]), v)).toThrow("wkv4: k is [6, 4]; it must be [B, T, C]");
});
