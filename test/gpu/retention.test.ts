import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { noGrad } from "../../src/autograd/mode.ts";
import { fadingRef } from "../../src/check/references/scan.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { concat } from "../../src/ops/concat.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { type FadingResult, fadingAttention } from "../../src/ops/retention/fading.ts";
import { retention, retentionDecays, retentionTurns } from "../../src/ops/retention/retention.ts";
import { ssd } from "../../src/ops/scan/ssd.ts";
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

const upload = ({ shape, data }: Ref) => tensor(device, Float32Array.from(data), shape);
/** The result and the state it leaves, in one row. */
const joined = ({ y, state }: FadingResult) => concat([reshape(y, [-1]), reshape(state, [-1])]);

/** B, T, H, G, K, V; decays a step (or one a head). */
function inputsOf([B, T, H, G, K, V]: readonly number[], each: boolean): Ref[] {
  return [
    numbers([B!, T!, G!, K!], -1, 1, 1),
    numbers([B!, T!, G!, K!], -1, 1, 2),
    numbers([B!, T!, H!, V!], -1, 1, 3),
    numbers(each ? [B!, T!, H!] : [H!], -1, -0.01, 4),
    numbers([B!, H!, K!, V!], -1, 1, 5),
  ];
}

const op = (...x: Tensor[]) => fadingAttention("fading", ...(x as [Tensor, Tensor, Tensor, Tensor, Tensor]));

describe("attention that fades", () => {
  test.each([
    [[1, 1, 1, 1, 1, 1], false],
    [[2, 7, 3, 3, 5, 3], false],
    [[1, 33, 2, 2, 17, 33], false],
    [[2, 65, 2, 1, 4, 6], true],
    [[1, 32, 4, 2, 33, 7], true],
  ] as const)("value and gradients for B, T, H, G, K, V = %j", async (sizes, each) => {
    const gradients = { what: "fading", samples: 6 };
    await checkGradient(device, (...x) => joined(op(...x)), fadingRef as never, inputsOf(sizes, each), gradients);
  });

  test("a decay that wipes the state out at every step", async () => {
    const [q, k, v] = inputsOf([1, 40, 1, 1, 4, 4], false).map(upload) as [Tensor, Tensor, Tensor];
    const { y } = retention(q, k, v, tensor(device, [-120]));
    const [qs, ks, vs] = await Promise.all([q, k, v].map((x) => x.data()));
    const own = Array.from({ length: 160 }, (_, i) => {
      const t = Math.floor(i / 4) * 4;
      return [0, 1, 2, 3].reduce((total, c) => total + qs![t + c]! * ks![t + c]!, 0) * vs![i]!;
    });
    expectClose(await y.data(), own, { atol: 1e-5, rtol: 1e-4, what: "retention" });
  });

  test.each([false, true])("step by step and in pieces as at once (decays a step: %s)", async (each) => {
    const T = 70;
    const inputs = inputsOf([2, T, 4, 2, 6, 5], each).map(upload);
    const run = (from: number, to: number, state: Tensor) =>
      op(...inputs.map((x, i) => (i === 4 ? state : x.shape[1] === T ? slice(x, 1, from, to) : x)));
    const whole = noGrad(() => op(...inputs));
    for (const ends of [Array.from({ length: T }, (_, t) => t + 1), [1, 1, 3, 40, T]]) {
      const pieces: Tensor<"f32">[] = [];
      let state = inputs[4] as Tensor;
      let at = 0;
      for (const end of ends) {
        const result = noGrad(() => run(at, end, state));
        pieces.push(result.y);
        state = result.state;
        at = end;
      }
      expectClose(await concat(pieces, 1).data(), await whole.y.data(), { atol: 1e-4, rtol: 0, what: "pieces" });
      expectClose(await state.data(), await whole.state.data(), { atol: 1e-4, rtol: 0, what: "state" });
    }
  });

  test("few launches, and no memory left behind", async () => {
    const inputs = inputsOf([1, 40, 2, 2, 8, 8], false).slice(0, 4).map(upload) as [Tensor, Tensor, Tensor, Tensor];
    const one = inputs.map((x) => (x.shape[1] === 40 ? upload(ref([1, 1, 2, 8], numbers([16]).data)) : x));
    const dy = upload(numbers([1, 40, 2, 8]));
    const launches = (run: () => unknown) => {
      device.flush();
      const before = device.stats.dispatches;
      run();
      device.flush();
      return device.stats.dispatches - before;
    };
    await scope(() => concat([reshape(op(...inputs).y, [-1]), reshape(op(...one).y, [-1])])).data();
    for (const x of inputs.slice(0, 3)) x.requiresGrad = true;
    const { live } = device.stats.memory;
    scope(() => {
      let y: Tensor | undefined;
      expect(launches(() => op(...one))).toBe(1);
      expect(launches(() => (y = op(...inputs).y))).toBe(2);
      // Three leaves take their gradients over.
      expect(launches(() => backward(y!, dy))).toBeLessThanOrEqual(4 + 3);
    });
    for (const leaf of inputs) {
      leaf.gradSlot?.dispose();
      leaf.gradSlot = null;
    }
    expect(device.stats.memory.live).toBe(live);
  });

  test("says what does not fit", () => {
    const x = (...shape: number[]) => zeros(device, shape);
    const [q, v] = [x(2, 5, 4, 6), x(2, 5, 4, 3)];
    expect(() => retention(q, x(2, 5, 4, 7), v, x(4))).toThrow(
      /retention: queries are \[2, 5, 4, 6\], keys \[2, 5, 4, 7\]/,
    );
    expect(() => retention(x(2, 5, 3, 6), x(2, 5, 3, 6), v, x(4))).toThrow(/3 heads .* do not divide 4 heads/);
    expect(() => retention(q, q, v, x(3))).toThrow(/decays are \[3\].*\[4\] or \[2, 5, 4\]/);
    expect(() => retention(q, q, v, x(4), x(2, 4, 3, 6))).toThrow(/state is \[2, 4, 3, 6\].*\[2, 4, 6, 3\]/);
    expect(() => retentionTurns(device, 5)).toThrow(/heads of 5 elements/);
  });

  test("the published decays and turns", async () => {
    expectClose(
      await retentionDecays(device, 3).data(),
      [1, 2, 4].map((n) => Math.log(1 - 1 / (32 * n))),
      { atol: 1e-9, rtol: 1e-6, what: "decays" },
    );
    const turns = await retentionTurns(device, 8).data();
    expectClose(
      [...turns].map((n) => (n / 2 ** 32) * 2 * Math.PI),
      [1, 10_000 ** (-1 / 3), 10_000 ** (-2 / 3), 1e-4],
      { atol: 1e-8, rtol: 1e-4, what: "turns" },
    );
  });
});

test("ssd in pieces as at once, and what it refuses", async () => {
  const x = numbers([1, 40, 4, 3], -1, 1, 1);
  const dt = numbers([1, 40, 4], 0.01, 1, 2);
  const inputs = [x, dt, numbers([4], -1, -0.1, 3), numbers([1, 40, 2, 5], -1, 1, 4), numbers([1, 40, 2, 5], -1, 1, 5)];
  const [X, Dt, A, Bs, Cs] = inputs.map(upload) as [Tensor, Tensor, Tensor, Tensor, Tensor];
  const D = upload(numbers([4]));
  const whole = ssd(X, Dt, A, Bs, Cs, { D });
  const piece = (from: number, to: number, state: Tensor | null) => {
    const [x, dt, B, C] = [X, Dt, Bs, Cs].map((one) => slice(one, 1, from, to)) as [Tensor, Tensor, Tensor, Tensor];
    return ssd(x, dt, A, B, C, { D, state });
  };
  const first = piece(0, 3, null);
  const rest = piece(3, 40, first.state);
  expectClose(await concat([first.y, rest.y], 1).data(), await whole.y.data(), { atol: 1e-5, rtol: 1e-4, what: "y" });
  expectClose(await rest.state.data(), await whole.state.data(), { atol: 1e-5, rtol: 1e-4, what: "state" });
  expect(() => ssd(X, Dt, zeros(device, [3]), Bs, Cs)).toThrow(/ssd: x is \[1, 40, 4, 3\] and A is \[3\]/);
  expect(() => ssd(X, Dt, A, Bs, zeros(device, [1, 40, 3, 5]))).toThrow(/ssd: queries are \[1, 40, 3, 5\]/);
});
