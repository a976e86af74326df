import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { noGrad } from "../../src/autograd/mode.ts";
import { deltaStep, fadingStep, type HeadRecurrence, headRef } from "../../src/check/references/wkv.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { concat } from "../../src/ops/concat.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { slice } from "../../src/ops/slice.ts";
import type { WkvResult } from "../../src/ops/wkv/head.ts";
import { wkv5, wkv6 } from "../../src/ops/wkv/wkv6.ts";
import { wkv7 } from "../../src/ops/wkv/wkv7.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** A version of the recurrence. */
interface Version extends HeadRecurrence {
  readonly op: (...x: Tensor[]) => WkvResult;
  readonly launches: { readonly forward: number; readonly backward: number };
}

const versions: Record<string, Version> = {
  wkv5: {
    op: (...x) => wkv5(...(x as Parameters<typeof wkv5>)),
    steps: ["r", "k", "v"],
    fixed: ["w", "u"],
    step: fadingStep,
    launches: { forward: 1, backward: 3 },
  },
  wkv6: {
    op: (...x) => wkv6(...(x as Parameters<typeof wkv6>)),
    steps: ["r", "k", "v", "w"],
    fixed: ["u"],
    step: fadingStep,
    launches: { forward: 1, backward: 3 },
  },
  wkv7: {
    op: (...x) => wkv7(...(x as Parameters<typeof wkv7>)),
    steps: ["r", "w", "k", "v", "a", "b"],
    fixed: [],
    step: deltaStep,
    launches: { forward: 1, backward: 2 },
  },
};

function inputsOf(
  { steps, fixed }: Version,
  [B, T, H, N]: readonly number[],
  w: readonly [number, number] = [-6, 1],
): Ref[] {
  const small = 0.9 / Math.sqrt(N!);
  return [...steps, ...fixed].map((name, n) => {
    const [low, high] = name === "w" ? w : name === "a" || name === "b" ? [-small, small] : [-1, 1];
    return numbers(n < steps.length ? [B!, T!, H!, N!] : [H!, N!], low, high, n + 1);
  });
}

const joined = ({ y, state }: WkvResult) => concat([reshape(y, [y.size]), reshape(state, [state.size])]);
const upload = (x: Ref) => tensor(device, Float32Array.from(x.data), x.shape);

function leavesOf(inputs: readonly Ref[]): Tensor[] {
  return inputs.map((x) => {
    const leaf = upload(x);
    leaf.requiresGrad = true;
    return leaf;
  });
}

describe.each(Object.entries(versions))("%s", (name, version) => {
  const run = (...x: Tensor[]) => joined(version.op(...x));
  const expected = (...x: Ref[]) => headRef(version, x);

  test.each([
    [1, 1, 1, 1],
    [2, 2, 1, 8],
    [1, 3, 2, 5],
    [3, 5, 11, 4],
    [2, 17, 2, 12],
    [1, 33, 1, 33],
    [2, 65, 3, 8],
    [1, 257, 1, 3],
    [1, 18, 2, 64],
    [1, 3, 1, 128],
  ])("values and gradients of %i sequences of %i steps, %i heads of %i channels", async (...sizes) => {
    await checkGradient(device, run, expected, inputsOf(version, sizes), { samples: 5, rtol: 2e-3, what: name });
  });

  test.each([
    [2, 7, 2, 8],
    [1, 20, 1, 64],
    [1, 34, 3, 12],
  ])("from a given state: %j", async (...sizes) => {
    const [B, , H, N] = sizes as [number, number, number, number];
    const inputs = [...inputsOf(version, sizes), numbers([B, H, N, N], -1, 1, 9)];
    await checkGradient(device, run, expected, inputs, { samples: 5, rtol: 2e-3, what: name });
  });

  test.each([
    [-100, -8],
    [-2, 3],
    [3, 90],
  ])("decays from %f to %f", async (low, high) => {
    const inputs = inputsOf(version, [1, 40, 2, 8], [low, high]);
    const constant = high > 10 ? [[...version.steps, ...version.fixed].indexOf("w")] : [];
    await checkGradient(device, run, expected, inputs, { samples: 8, constant, rtol: 2e-3, what: name });
    const leaves = leavesOf(inputs);
    scope(() => backward(run(...leaves), upload(numbers([40 * 16 + 128]))));
    for (const { grad } of leaves) expect([...(await grad!.data())].every(Number.isFinite)).toBe(true);
  });

  test("a hundred thousand steps stay finite, and end as in float64", async () => {
    const inputs = inputsOf(version, [1, 100_000, 1, 4], [-3, 0]);
    const values = await noGrad(() => run(...inputs.map(upload))).data();
    expect(values.every(Number.isFinite)).toBe(true);
    const end = -(4 * 40 + 16); // the last steps and the state
    expectClose(values.slice(end), expected(...inputs).data.slice(end), { atol: 1e-4, rtol: 1e-3 });
  });

  test("a sequence cut anywhere, the state handed on, equals one run bit by bit", async () => {
    const count = version.steps.length;
    for (const [size, T] of [
      [8, 65],
      [64, 21],
    ] as const) {
      const x: Tensor[] = inputsOf(version, [2, T, 2, size]).map(upload);
      const pieces = (cuts: readonly number[]) => {
        let state: Tensor<"f32"> | undefined;
        const ys = [...cuts, T].map((end, n) => {
          const part = x.map((one, i) => (i < count ? slice(one, 1, cuts[n - 1] ?? 0, end) : one));
          const result = version.op(...part, ...(state ? [state] : []));
          state = result.state;
          return result.y;
        });
        return joined({ y: concat(ys, 1), state: state as Tensor<"f32"> });
      };
      const whole = await scope(() => noGrad(() => run(...x))).data();
      for (const cuts of [[1, 3], [16], Array.from({ length: T - 1 }, (_, i) => i + 1)]) {
        expect(await scope(() => noGrad(() => pieces(cuts))).data()).toEqual(whole);
      }
      // Gradients too, through the states.
      const leaves = leavesOf(inputsOf(version, [2, T, 2, size]));
      x.splice(0, x.length, ...leaves);
      const dy = upload(numbers([whole.length], -1, 1, 3));
      const grads = async (run: () => Tensor) => {
        for (const leaf of leaves) leaf.gradValid = false;
        scope(() => backward(run(), dy));
        return Promise.all(leaves.map(({ grad }) => grad!.data()));
      };
      const once = await grads(() => run(...x));
      const twice = await grads(() => pieces([5, 17]));
      for (const [i, grad] of once.entries())
        expectClose(twice[i]!, grad, { atol: 2e-5, rtol: 1e-4, what: `input ${i}` });
    }
  });

  test("repeats bit by bit, and adds to gradients that are there", async () => {
    const leaves = leavesOf(inputsOf(version, [2, 37, 2, 12]));
    const dy = upload(numbers([2 * 37 * 24 + 4 * 144], -1, 1, 5));
    const read = async () => (await Promise.all(leaves.map(({ grad }) => grad!.data()))).flatMap((g) => [...g]);
    const go = () => scope(() => backward(run(...leaves), dy));
    go();
    const once = await read();
    for (const leaf of leaves) leaf.gradValid = false;
    go();
    expect(await read()).toEqual(once);
    go();
    expect(await read()).toEqual(once.map((g) => Math.fround(2 * g)));
  });

  test("few launches, no memory left behind, and no steps hand the state on", async () => {
    const leaves = leavesOf(inputsOf(version, [1, 20, 2, 8]));
    const dy = upload(numbers([1, 20, 2, 8]));
    const launches = (run: () => unknown) => {
      device.flush();
      const before = device.stats.dispatches;
      run();
      device.flush();
      return device.stats.dispatches - before;
    };
    const { live } = device.stats.memory;
    scope(() => {
      let y: Tensor | undefined;
      expect(launches(() => (y = version.op(...leaves).y))).toBe(version.launches.forward);
      // Leaves take their gradients over with an accumulation each, but for those that the last launch adds up itself.
      expect(launches(() => backward(y!, dy))).toBeLessThanOrEqual(version.launches.backward + version.steps.length);
    });
    for (const leaf of leaves) {
      leaf.gradSlot?.dispose();
      leaf.gradSlot = null;
    }
    expect(device.stats.memory.live).toBe(live);
    const state = upload(numbers([1, 2, 8, 8]));
    const none = leaves.map((leaf, i) => (i < version.steps.length ? zeros(device, [1, 0, 2, 8]) : leaf));
    const passed = version.op(...none, state);
    expect(passed.y.shape).toEqual([1, 0, 2, 8]);
    expect(await passed.state.data()).toEqual(await state.data());
  });

  test("a state kept from step to step does not hold the steps", () => {
    const x = inputsOf(version, [1, 64, 2, 8]).map(upload);
    const { live } = device.stats.memory;
    const state = scope(() => noGrad(() => version.op(...x).state));
    const bytes = device.stats.memory.live - live;
    expect(bytes).toBeLessThanOrEqual(name === "wkv7" ? 8192 : 1024);
    state.dispose();
  });

  test("errors name what does not fit", () => {
    const x = inputsOf(version, [2, 3, 2, 4]).map(upload);
    const [first, second] = version.steps;
    const with_ = (i: number, other: Tensor) => version.op(...x.map((one, n) => (n === i ? other : one)));
    expect(() => with_(1, zeros(device, [2, 3, 2, 5]))).toThrow(
      `${name}: ${first} is [2, 3, 2, 4] and ${second} is [2, 3, 2, 5]; they must be equal`,
    );
    expect(() => version.op(...x, zeros(device, [2, 2, 4]))).toThrow(
      `${name}: state is [2, 2, 4] and r is [2, 3, 2, 4]`,
    );
    expect(() => with_(0, zeros(device, [2, 3, 8]))).toThrow(`${name}: r is [2, 3, 8]; it must be [B, T, H, N]`);
    const wide = version.steps.map(() => zeros(device, [1, 1, 1, 129]));
    const fixed = version.fixed.map(() => zeros(device, [1, 129]));
    expect(() => version.op(...wide, ...fixed)).toThrow(`${name}: r [1, 1, 1, 129] has 1 heads of 129 channels`);
    if (version.fixed.length > 0) {
      expect(() => with_(version.steps.length, zeros(device, [8]))).toThrow("is [8] and r is [2, 3, 2, 4]");
    }
  });
});
