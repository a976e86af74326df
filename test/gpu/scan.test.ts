import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { convRef, scanRef } from "../../src/check/references/scan.ts";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { concat } from "../../src/ops/concat.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { type CausalConvOptions, causalConv1d } from "../../src/ops/scan/conv.ts";
import { selectiveScan, selectiveScanPacked } from "../../src/ops/scan/scan.ts";
import { slice } from "../../src/ops/slice.ts";
import { tensor, zeros } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** An output and the state it leaves, in one row. */
const joined = ({ y, state }: { y: Tensor; state: Tensor }) => concat([reshape(y, [-1]), reshape(state, [-1])]);

describe("causalConv1d", () => {
  test.each([
    [2, 7, 5, 4],
    [1, 1, 3, 4],
    [1, 33, 65, 2],
    [3, 17, 2, 1],
    [1, 40, 3, 16],
    [2, 33, 8, 4],
    [1, 17, 68, 3],
    [2, 2, 4, 4],
    [1, 65, 4, 2],
    [3, 16, 12, 1],
  ])("value and gradients for B=%d T=%d C=%d K=%d", async (B, T, C, K) => {
    const inputs = [numbers([B, T, C], -2, 2, 1), numbers([C, 1, K], -1, 1, 2), numbers([C], -1, 1, 3)];
    inputs.push(numbers([B, K - 1, C], -1, 1, 4));
    const op = (x: Tensor, weight: Tensor, bias: Tensor, state: Tensor) =>
      joined(causalConv1d(x, weight, { bias, state, activation: "silu" }));
    if (K > 1) await checkGradient(device, op as never, convRef as never, inputs, { what: "causalConv1d" });
    else {
      const empty = numbers([B, 0, C], 0, 1, 1);
      const without = (x: Tensor, w: Tensor, b: Tensor) => causalConv1d(x, w, { bias: b, activation: "silu" }).y;
      const expected = (x: Ref, w: Ref, b: Ref) => {
        const { data } = convRef(x, w, b, empty);
        return ref(x.shape, data);
      };
      await checkGradient(device, without as never, expected as never, inputs.slice(0, 3), { what: "causalConv1d" });
    }
  });

  test.each([3, 8])("in pieces as at once, shorter than the kernel too: %i channels", async (C) => {
    const x = tensor(device, Float32Array.from(numbers([2, 12, C], -1, 1, 1).data), [2, 12, C]);
    const weight = tensor(device, Float32Array.from(numbers([C, 1, 4], -1, 1, 2).data), [C, 1, 4]);
    const whole = causalConv1d(x, weight);
    const pieces: Tensor<"f32">[] = [];
    let options: CausalConvOptions = {};
    for (const [from, to] of [
      [0, 1],
      [1, 3],
      [3, 12],
    ] as const) {
      const { y, state } = causalConv1d(slice(x, 1, from, to), weight, options);
      pieces.push(y);
      options = { state };
    }
    expectClose(await concat(pieces, 1).data(), await whole.y.data(), { atol: 1e-6, rtol: 0, what: "pieces" });
    expectClose(await options.state!.data(), await whole.state.data(), { atol: 0, rtol: 0, what: "state" });
  });

  test("a GPU's shorter spans give the same", async () => {
    const wide = new Device(device.gpu, device.info, false, false);
    const results = [device, wide].map((on) => {
      const [x, weight] = [numbers([2, 11, 8], -1, 1, 1), numbers([8, 4], -1, 1, 2)].map(({ shape, data }) =>
        tensor(on, Float32Array.from(data), shape),
      );
      return joined(causalConv1d(x!, weight!)).data();
    });
    const [expected, actual] = await Promise.all(results);
    expectClose(actual!, expected!, { atol: 1e-6, rtol: 0 });
  });

  test("a row that is no number reaches the K rows that see it, and no others", async () => {
    for (const K of [2, 3, 4]) {
      const x = Float32Array.from({ length: 9 * 4 }, (_, i) => (Math.floor(i / 4) === 3 ? Number.NaN : 1));
      const { y } = causalConv1d(tensor(device, x, [1, 9, 4]), tensor(device, new Float32Array(4 * K).fill(1), [4, K]));
      const rows = [...(await y.data())].filter((_, i) => i % 4 === 0).map(Number.isNaN);
      expect(rows).toEqual(Array.from({ length: 9 }, (_, t) => t >= 3 && t < 3 + K));
    }
  });

  test("says what does not fit", () => {
    const x = zeros(device, [2, 5, 3]);
    expect(() => causalConv1d(x, zeros(device, [4, 1, 4]))).toThrow(/weight is \[4, 1, 4\] and x is \[2, 5, 3\]/);
    expect(() => causalConv1d(x, zeros(device, [3, 1, 17]))).toThrow(/17 steps wide and can be 16 at most/);
    const state = zeros(device, [2, 4, 3]);
    expect(() => causalConv1d(x, zeros(device, [3, 1, 4]), { state })).toThrow(/state is \[2, 4, 3\].*\[2, 3, 3\]/);
  });
});

function scanInputs(B: number, T: number, E: number, G: number, N: number): Ref[] {
  const wide = [B, T, E];
  return [
    numbers(wide, -1, 1, 1),
    numbers(wide, -3, 1, 2),
    numbers([E, N], -2, -0.1, 3),
    numbers([B, T, G, N], -1, 1, 4),
    numbers([B, T, G, N], -1, 1, 5),
    numbers([E], -1, 1, 6),
    numbers(wide, -2, 2, 7),
    numbers([E], -1, 1, 8),
    numbers([B, E, N], -1, 1, 9),
  ];
}

const scanAll = (...x: Tensor[]) => {
  const [u, delta, A, B, C, D, z, deltaBias, state] = x as [Tensor, Tensor, Tensor, Tensor, Tensor, ...Tensor[]];
  return selectiveScan(u, delta, A, B, C, { D, z, deltaBias, state, deltaSoftplus: true });
};

describe("selectiveScan", () => {
  test.each([
    [2, 7, 6, 2, 4],
    [1, 1, 3, 1, 1],
    [2, 33, 17, 1, 16],
    [1, 9, 65, 1, 3],
    [1, 17, 3, 3, 65],
  ])("value and all gradients for B=%d T=%d E=%d G=%d N=%d", async (B, T, E, G, N) => {
    const op = (...x: Tensor[]) => joined(scanAll(...x));
    await checkGradient(device, op, scanRef, scanInputs(B, T, E, G, N), { what: "selectiveScan", samples: 8 });
  });

  test("in pieces as at once; a length of 0 passes the state on", async () => {
    const x = scanInputs(1, 20, 5, 1, 6).map(({ shape, data }) => tensor(device, Float32Array.from(data), shape));
    const run = (from: number, to: number, state: Tensor) =>
      scanAll(...x.map((one, i) => (i === 8 ? state : one.shape[1] === 20 ? slice(one, 1, from, to) : one)));
    const whole = scanAll(...x);
    const pieces: Tensor<"f32">[] = [];
    let state = x[8] as Tensor;
    for (const [from, to] of [
      [0, 1],
      [1, 1],
      [1, 12],
      [12, 20],
    ] as const) {
      const result = run(from, to, state);
      pieces.push(result.y);
      state = result.state;
    }
    expectClose(await concat(pieces, 1).data(), await whole.y.data(), { atol: 1e-6, rtol: 1e-5, what: "pieces" });
    expectClose(await state.data(), await whole.state.data(), { atol: 1e-6, rtol: 1e-5, what: "state" });
  });

  test("the gradient of log(-A) is A times that of A, and repeats bit by bit", async () => {
    const run = async (logA: boolean) => {
      const [u, delta, A, B, C] = scanInputs(2, 19, 7, 1, 5).map(({ shape, data }, i) => {
        const values = i === 2 && logA ? data.map((a) => Math.log(-a)) : data;
        return tensor(device, Float32Array.from(values), shape);
      }) as [Tensor, Tensor, Tensor, Tensor, Tensor];
      A.requiresGrad = true;
      scope(() => {
        const { y } = selectiveScan(u, delta, A, B, C, { logA, deltaSoftplus: true });
        backward(y, tensor(device, Float32Array.from(numbers(y.shape, -1, 1, 3).data), y.shape));
      });
      return { A: await A.data(), grad: (await A.grad!.data()) as Float32Array };
    };
    const plain = await run(false);
    const logs = await run(true);
    expectClose(
      logs.grad,
      plain.grad.map((g, i) => g * Number(plain.A[i])),
      { atol: 1e-5, rtol: 1e-4, what: "log A" },
    );
    expect([...(await run(true)).grad]).toEqual([...logs.grad]);
  });

  test("takes two launches, and three back, and leaves no memory behind", async () => {
    const x = scanInputs(1, 8, 4, 1, 4).map(({ shape, data }) => tensor(device, Float32Array.from(data), shape));
    const [u, delta, A, , , D, z, deltaBias] = x as Tensor[];
    const bc = tensor(device, Float32Array.from(numbers([1, 8, 8]).data), [1, 8, 8]);
    const dy = tensor(device, Float32Array.from(numbers([1, 8, 4]).data), [1, 8, 4]);
    bc.requiresGrad = true;
    const launches = (run: () => unknown) => {
      device.flush();
      const before = device.stats.dispatches;
      run();
      device.flush();
      return device.stats.dispatches - before;
    };
    const op = () => selectiveScanPacked(u!, delta!, A!, bc, { D, z, deltaBias, deltaSoftplus: true });
    // Pipelines are compiled before anything is counted.
    await scope(() => op().y).data();
    const { live } = device.stats.memory;
    scope(() => {
      let y: Tensor | undefined;
      expect(launches(() => (y = op().y))).toBe(2);
      // The weights want no gradient here, so what adds theirs up is not launched; the leaf takes its own over.
      expect(launches(() => backward(y!, dy))).toBeLessThanOrEqual(3);
    });
    bc.gradSlot?.dispose();
    bc.gradSlot = null;
    expect(device.stats.memory.live).toBe(live);
  });

  test("says what does not fit", () => {
    const x = (...shape: number[]) => zeros(device, shape);
    const u = x(2, 5, 6);
    expect(() => selectiveScan(u, x(2, 5, 7), x(6, 4), x(2, 5, 4), x(2, 5, 4))).toThrow(
      /delta is \[2, 5, 7\]; with u \[2, 5, 6\]/,
    );
    expect(() => selectiveScan(u, u, x(6, 300), x(2, 5, 300), x(2, 5, 300))).toThrow(/state of 300 a channel.*256/);
    expect(() => selectiveScan(u, u, x(6, 4), x(2, 5, 4, 4), x(2, 5, 4, 4))).toThrow(/4 groups do not divide 6/);
    expect(() => selectiveScan(u, u, x(6, 4), x(2, 5, 4), x(2, 5, 3))).toThrow(/B is \[2, 5, 4\] and C is \[2, 5, 3\]/);
    const state = x(2, 6, 5);
    expect(() => selectiveScan(u, u, x(6, 4), x(2, 5, 4), x(2, 5, 4), { state })).toThrow(/state is \[2, 6, 5\]/);
  });
});
