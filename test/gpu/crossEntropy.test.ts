import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { type CrossEntropyOptions, crossEntropy } from "../../src/ops/crossEntropy.ts";
import { tensor } from "../../src/tensor/create.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
/** The same device with the launches that a real GPU gets. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

const CLASSES = [1, 2, 3, 7, 17, 33, 65, 127, 257, 1000];

interface Plain {
  readonly ignoreIndex?: number;
  readonly labelSmoothing?: number;
  readonly reduction?: "mean" | "sum" | "none";
  readonly weights?: readonly number[];
}

/** SPEC: -(1 - e) w_t log p_t - (e / V) sum_j w_j log p_j. */
function reference(
  x: Ref,
  targets: readonly number[],
  { ignoreIndex = -100, labelSmoothing = 0, reduction = "mean", weights }: Plain,
): Ref {
  const classes = x.shape[1] as number;
  const weight = (k: number) => weights?.[k] ?? 1;
  let divisor = 0;
  const losses = targets.map((target, row) => {
    if (target === ignoreIndex) return 0;
    divisor += weight(target);
    const logits = [...x.data.subarray(row * classes, (row + 1) * classes)];
    const top = Math.max(...logits);
    const lse = top + Math.log(logits.reduce((sum, v) => sum + Math.exp(v - top), 0));
    const spread = logits.reduce((sum, v, k) => sum + weight(k) * (lse - v), 0) / classes;
    return (1 - labelSmoothing) * weight(target) * (lse - (logits[target] as number)) + labelSmoothing * spread;
  });
  if (reduction === "none") return ref([targets.length], losses);
  const sum = losses.reduce((a, b) => a + b, 0);
  return ref([], [reduction === "sum" || divisor === 0 ? sum : sum / divisor]);
}

async function check(on: Device, classes: number, targets: readonly number[], plain: Plain): Promise<void> {
  const { weights, ...options } = plain;
  const ids = tensor(on, Int32Array.from(targets));
  const extra: CrossEntropyOptions = weights ? { classWeight: tensor(on, [...weights]) } : {};
  const x = numbers([targets.length, classes], -5, 5, classes);
  await checkGradient(
    on,
    (x) => crossEntropy(x, ids, { ...options, ...extra }),
    (x) => reference(x, targets, plain),
    [x],
    {
      what: `crossEntropy ${JSON.stringify(options)}`,
    },
  );
}

test.each(CLASSES)("%i classes: loss and gradient of every reduction", async (classes) => {
  const targets = [0, classes - 1, -100, classes >> 1, (7 * classes) >> 3];
  for (const on of [device, wide]) {
    for (const reduction of ["mean", "sum", "none"] as const) await check(on, classes, targets, { reduction });
  }
});

test.each([3, 8, 65])("smoothing, weights and another ignored id with %i classes", async (classes) => {
  const targets = [0, 1, 2, 1, classes - 1];
  const weights = Array.from({ length: classes }, (_, k) => (k % 3) / 2);
  for (const on of [device, wide]) {
    for (const reduction of ["mean", "sum", "none"] as const) {
      await check(on, classes, targets, { labelSmoothing: 0.1, reduction });
      await check(on, classes, targets, { weights, reduction, ignoreIndex: 1 });
      await check(on, classes, targets, { weights, labelSmoothing: 0.3, reduction, ignoreIndex: 2 });
    }
  }
});

async function lossAndGradient(logits: number[][], targets: number[], options: CrossEntropyOptions = {}) {
  const x = tensor(device, logits);
  x.requiresGrad = true;
  const loss = crossEntropy(x, tensor(device, Int32Array.from(targets)), options);
  backward(loss);
  return { loss: await loss.item(), gradient: [...((await x.grad?.data()) ?? [])] };
}

describe("large logits (O02)", () => {
  test("a loss of 200 is 200", async () => {
    const { loss, gradient } = await lossAndGradient([[0, 100, -100]], [2]);
    expect(loss).toBe(200);
    expectClose(gradient, [0, 1, -1]);
  });

  test("equal logits of 10,000 are as good as equal zeros", async () => {
    const { loss, gradient } = await lossAndGradient([[1e4, 1e4, 1e4, 1e4]], [3]);
    expectClose([loss], [1.3862944]);
    expectClose(gradient, [0.25, 0.25, 0.25, -0.75]);
  });
});

test("if no row counts, the mean is 0 and so are the gradients", async () => {
  const { loss, gradient } = await lossAndGradient(
    [
      [1, 2],
      [3, 4],
    ],
    [-100, -100],
  );
  expect(loss).toBe(0);
  expect(gradient).toEqual([0, 0, 0, 0]);
});

test("a target outside the classes is not finite, and only in its row's gradient", async () => {
  for (const target of [2, -1]) {
    const { loss, gradient } = await lossAndGradient(
      [
        [1, 2],
        [3, 3],
      ],
      [target, 0],
    );
    expect(loss).toBeNaN();
    expect(gradient.map(Number.isFinite)).toEqual([false, false, true, true]);
  }
});

test("a NaN logit makes loss and gradient non-finite, unless its row is ignored (O05)", async () => {
  const logits = [
    [1, Number.NaN, 2, 3],
    [1, 2, 3, 4],
  ];
  const bad = await lossAndGradient(logits, [0, 1]);
  expect(Number.isFinite(bad.loss)).toBe(false);
  expect(bad.gradient.slice(0, 4).every(Number.isFinite)).toBe(false);
  const ignored = await lossAndGradient(logits, [-100, 1]);
  expectClose([ignored.loss], [2.4401897]);
  expect(ignored.gradient.slice(0, 4)).toEqual([0, 0, 0, 0]);
});

test("targets of any shape and dtype, and 70,000 rows", async () => {
  const x = tensor(device, [
    [
      [1, 2],
      [3, 4],
    ],
  ]);
  expectClose(
    await crossEntropy(x, tensor(device, [[0, 1]], undefined, "u32"), { reduction: "none" }).data(),
    [1.3132617, 0.3132617],
  );
  expect(crossEntropy(x, tensor(device, [[0, 1]], undefined, "i32"), { reduction: "none" }).shape).toEqual([1, 2]);
  const many = tensor(
    device,
    Float32Array.from({ length: 210_000 }, (_, i) => i % 3),
    [70_000, 3],
  );
  many.requiresGrad = true;
  const loss = crossEntropy(many, tensor(device, new Int32Array(70_000).fill(2)));
  backward(loss);
  expectClose([await loss.item()], [0.4076059]);
  const gradient = (await many.grad?.data()) as Float32Array;
  expectClose(
    gradient.slice(-3).map((g) => g * 70_000),
    [0.0900306, 0.2447285, -0.334759],
  );
});

test("errors name what does not fit", () => {
  const x = tensor(device, [
    [1, 2],
    [3, 4],
  ]);
  expect(() => crossEntropy(x, tensor(device, new Int32Array(3)))).toThrow(
    "crossEntropy: logits are [2, 2] and targets [3]",
  );
  expect(() => crossEntropy(x, tensor(device, [0, 1]))).toThrow("targets are f32");
  const ids = tensor(device, new Int32Array(2));
  expect(() => crossEntropy(x, ids, { classWeight: tensor(device, [1, 1, 1]) })).toThrow("classWeight is [3]");
  expect(() => crossEntropy(x, ids, { labelSmoothing: 2 })).toThrow("labelSmoothing is 2");
});
