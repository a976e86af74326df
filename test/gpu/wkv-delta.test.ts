import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { deltaKeysRef, overHead } from "../../src/check/references/wkv.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { concat } from "../../src/ops/concat.ts";
import { deltaFinish, deltaKeys, valueResidual } from "../../src/ops/wkv/delta.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** B, T, heads and channels a head: lanes without work, heads that fill no workgroup, and wide ones. */
const sizes = [
  [1, 1, 1, 1],
  [2, 3, 3, 4],
  [1, 7, 2, 17],
  [2, 33, 1, 8],
  [1, 3, 2, 65],
] as const;

test.each(sizes)("decays and keys of the delta rule, B %i T %i H %i N %i", async (B, T, H, N) => {
  const shape = [B, T, H * N];
  const vectors = [1, 2, 3, 4].map((seed) => numbers([1, 1, H * N], -1.5, 1.5, seed));
  await checkGradient(
    device,
    (k, dw, da, w0, a0, keyScale, keyRate) => {
      const {
        w,
        k: key,
        a,
        b,
      } = deltaKeys(k!, dw!, da!, H, { w0: w0!, a0: a0!, keyScale: keyScale!, keyRate: keyRate! });
      return concat([w, key, a, b], 0);
    },
    (...inputs) => deltaKeysRef(N, ...(inputs as [Ref, Ref, Ref, Ref, Ref, Ref, Ref])),
    [numbers(shape, 0.2, 2, 5), numbers(shape, -12, 12, 6), numbers(shape, -2, 2, 8), ...vectors],
  );
});

test.each(sizes)("bonus and gate after the recurrence, B %i T %i H %i N %i", async (B, T, H, N) => {
  const C = H * N;
  await checkGradient(
    device,
    (y, r, k, v, gate, bonus) => deltaFinish(y!, r!, k!, v!, gate!, H, bonus!),
    (y, r, k, v, gate, bonus) =>
      ref(
        y!.shape,
        [...y!.data].map((own, i) => {
          const s = overHead(i, N, (j) => r!.data[j]! * k!.data[j]! * bonus!.data[j % C]!);
          return (own + s * v!.data[i]!) * gate!.data[i]!;
        }),
      ),
    [...[1, 2, 3, 4, 5].map((seed) => numbers([B, T, C], -1, 1, seed)), numbers([H, N], -1, 1, 6)],
  );
});

test.each(sizes)("value residual, B %i T %i H %i N %i", async (B, T, H, N) => {
  const C = H * N;
  await checkGradient(
    device,
    (own, first, mix, v0) => valueResidual(own!, first!, mix!, v0!),
    (own, first, mix, v0) =>
      ref(
        own!.shape,
        [...own!.data].map((x, i) => x + (first!.data[i]! - x) * sigmoid(v0!.data[i % C]! + mix!.data[i]!)),
      ),
    [...[1, 2, 3].map((seed) => numbers([B, T, C], -2, 2, seed)), numbers([1, 1, C], -2, 2, 4)],
  );
});

test("extreme decays and a head of zeros stay finite; gradients add up bit by bit", async () => {
  const leaf = (values: number[], shape: number[]) => {
    const x = tensor(device, Float32Array.from(values), shape);
    x.requiresGrad = true;
    return x;
  };
  const k = leaf([0, 0, 3, 4], [1, 1, 4]);
  const decay = leaf([1e4, -1e4, 20, -20], [1, 1, 4]);
  const rates = leaf([200, -200, 0, 0], [1, 1, 4]);
  const [w0, a0, keyScale, keyRate] = [0, 0, 1, 1].map((x) => leaf([x, x, x, x], [4])) as [
    ReturnType<typeof leaf>,
    ReturnType<typeof leaf>,
    ReturnType<typeof leaf>,
    ReturnType<typeof leaf>,
  ];
  const ones = tensor(device, new Float32Array(16).fill(1), [4, 1, 4]);
  const go = () =>
    scope(() => {
      const { w, k: key, a, b } = deltaKeys(k, decay, rates, 2, { w0, a0, keyScale, keyRate });
      const y = concat([w, key, a, b], 0);
      backward(y, ones);
      return y;
    });
  const values = await go().data();
  expect([...values.slice(0, 2)]).toEqual([-0.5, -10000.5]);
  expect(values[2]! + 0.5).toBeCloseTo(-2.061e-9, 8);
  expect([...values.slice(8, 12)].map((x) => Math.round(1e6 * x) / 1e6)).toEqual([-0, -0, -0.6, -0.8]);
  const once = await keyRate.grad!.data();
  expect([...once, ...(await w0.grad!.data())].every(Number.isFinite)).toBe(true);
  go();
  expect(await keyRate.grad!.data()).toEqual(once.map((g) => 2 * g));
});

test("errors name what does not fit", () => {
  const x = zeros(device, [1, 2, 4]);
  const c = zeros(device, [4]);
  const given = { w0: c, a0: c, keyScale: c, keyRate: zeros(device, [3]) };
  expect(() => deltaKeys(x, x, x, 2, given)).toThrow(
    "deltaKeys: keyRate is [3] and k is [1, 2, 4]; it must have 4 values",
  );
  expect(() => deltaKeys(x, x, x, 3, given)).toThrow("C a multiple of the heads");
  expect(() => valueResidual(x, zeros(device, [1, 2, 5]), x, c)).toThrow("own is [1, 2, 4] and first is [1, 2, 5]");
});
