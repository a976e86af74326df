/** Inputs that broke other engines, and what recurrent layers promise beside their values. */
import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { GRU, LSTM, type Recurrent, type RecurrentState, RNN } from "../../src/nn/rnn.ts";
import { linear } from "../../src/ops/linear.ts";
import { gruLayer } from "../../src/ops/rnn/gru.ts";
import { lstmLayer } from "../../src/ops/rnn/lstm.ts";
import { packStep, recurrentStep } from "../../src/ops/rnn/step.ts";
import { slice } from "../../src/ops/slice.ts";
import { capture } from "../../src/tensor/capture.ts";
import { full, ones, tensor, zeros } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const makers: Record<string, (options: ConstructorParameters<typeof RNN>[1]) => Recurrent> = {
  RNN: (options) => new RNN(device, options),
  GRU: (options) => new GRU(device, options),
  LSTM: (options) => new LSTM(device, options),
};
const NAMES = ["RNN", "GRU", "LSTM"];

const stateOf = (module: Recurrent, shape: readonly number[], value = 0.5): RecurrentState => ({
  h: full(device, shape, value),
  c: module.kind === "lstm" ? full(device, shape, -value) : null,
});

describe.each(NAMES)("%s", (name) => {
  const make = makers[name] as (typeof makers)[string];

  test("no steps leave the state, and gradients are zeros", async () => {
    for (const form of ["sequence", "step"] as const) {
      const module = make({ inputSize: 3, hiddenSize: 4 });
      const x = zeros(device, [0, 2, 3]);
      const before = stateOf(module, [1, 2, 4]);
      before.h.requiresGrad = true;
      const { output, state } = module.forward(x, before, { form });
      expect(output.shape).toEqual([0, 2, 4]);
      expect([...(await state.h.data())]).toEqual(new Array(8).fill(0.5));
      if (state.c) expect([...(await state.c.data())]).toEqual(new Array(8).fill(-0.5));
      backward(state.h, full(device, [1, 2, 4], 3));
      expect([...((await before.h.grad?.data()) ?? [])]).toEqual(new Array(8).fill(3));
      for (const [parameter, own] of module.namedParameters())
        expect([parameter, Math.max(...((await own.grad?.data()) ?? [1]))]).toEqual([parameter, 0]);
    }
  });

  test("no entries give empty tensors and gradients", async () => {
    const module = make({ inputSize: 3, hiddenSize: 4 });
    const x = zeros(device, [5, 0, 3]);
    x.requiresGrad = true;
    const { output, state } = module.forward(x);
    expect([output.shape, state.h.shape]).toEqual([
      [5, 0, 4],
      [1, 0, 4],
    ]);
    backward(output, zeros(device, [5, 0, 4]));
    expect(x.grad?.shape).toEqual([5, 0, 3]);
    for (const own of module.parameters()) expect(Math.max(...((await own.grad?.data()) ?? [1]))).toBe(0);
  });

  test("the whole sequence, single steps and chunks agree", async () => {
    const H = 8;
    const module = make({ inputSize: H, hiddenSize: H, numLayers: 2, batchFirst: true });
    for (const [s, parameter] of module.parameters().entries()) {
      parameter.write(Float32Array.from({ length: parameter.size }, (_, n) => (((37 * n + 11 * s) % 101) - 50) / 200));
    }
    for (const T of [1, 2, 3, 4, 5, 30, 33, 64, 65]) {
      const x = tensor(
        device,
        Float32Array.from({ length: T * H }, (_, i) => (((13 * Math.floor(i / H) + 7 * (i % H)) % 19) - 9) / 9),
        [1, T, H],
      );
      const whole = module.forward(x);
      const expected = await whole.output.data();
      const chunkings = [
        new Array<number>(T).fill(1),
        [1, 2, T - 3],
        [...new Array<number>(Math.floor(T / 16)).fill(16), T % 16],
      ];
      for (const chunks of chunkings) {
        let state: RecurrentState | null = null;
        let at = 0;
        for (const size of chunks) {
          if (size <= 0 || at + size > T) continue;
          const part = module.forward(slice(x, 1, at, at + size), state);
          expectClose(await part.output.data(), expected.subarray(at * H, (at + size) * H), {
            atol: 1e-4,
            rtol: 0,
            what: `${name} T ${T} from ${at}`,
          });
          state = part.state;
          at += size;
        }
        if (at === T && state) expectClose(await state.h.data(), await whole.state.h.data(), { atol: 1e-4, rtol: 0 });
      }
    }
  });

  test.each(["f32", "f16"])("single steps for generation agree with the sequence, weights in %s", async (weights) => {
    const [V, E, H, T, B] = [11, 5, 37, 6, 3];
    const module = make({ inputSize: E, hiddenSize: H, numLayers: 2, batchFirst: true, random: new Random(3) });
    if (weights === "f16") module.half();
    const embedding = tensor(device, new Random(4).fillUniform(new Float32Array(V * E), -1, 1), [V, E]);
    const ids = Array.from({ length: B * T }, (_, i) => (7 * i + 3) % V);
    const host = await embedding.data();
    const x = tensor(device, Float32Array.from(ids.flatMap((id) => [...host.subarray(id * E, (id + 1) * E)])), [
      B,
      T,
      E,
    ]);
    const first = stateOf(module, [2, B, H]);
    const { output, state: last } = module.forward(x, first);
    const expected = await output.data();
    const layers = module.layers.map(([own]) => own as NonNullable<typeof own>);
    const packed = layers.map((own) => packStep(module.kind, own));
    const table = linear(embedding, layers[0]!.weightIh, layers[0]!.biasIh);
    let state = first;
    for (let t = 0; t < T; t++) {
      const tokens = tensor(
        device,
        Array.from({ length: B }, (_, b) => ids[b * T + t] as number),
        [B],
        "u32",
      );
      const next = stateOf(module, [2, B, H], 9);
      const below = recurrentStep(module.kind, { sums: table, tokens, weights: packed[0]!, state, next, layer: 0 });
      const sums = linear(below, layers[1]!.weightIh, layers[1]!.biasIh);
      const y = await recurrentStep(module.kind, { sums, weights: packed[1]!, state, next, layer: 1 }).data();
      for (let b = 0; b < B; b++) {
        const at = (b * T + t) * H;
        expectClose(y.subarray(b * H, (b + 1) * H), expected.subarray(at, at + H), { what: `step ${t} of entry ${b}` });
      }
      state = next;
    }
    expectClose(await state.h.data(), await last.h.data());
    if (state.c && last.c) expectClose(await state.c.data(), await last.c.data());
  });

  test("padding changes nothing", async () => {
    const module = make({
      inputSize: 3,
      hiddenSize: 8,
      numLayers: 2,
      bidirectional: true,
      batchFirst: true,
      random: new Random(5),
    });
    const lengths = [5, 1, 3];
    const values = new Random(6).fillUniform(new Float32Array(3 * 5 * 3), -1, 1);
    const padded = (padding: number) => {
      const copy = values.slice();
      for (const [b, length] of lengths.entries()) copy.fill(padding, (b * 5 + length) * 3, (b + 1) * 15);
      const x = tensor(device, copy, [3, 5, 3]);
      x.requiresGrad = true;
      return x;
    };
    const x = padded(0);
    const { output } = module.forward(x, null, { lengths });
    backward(output, ones(device, output.shape));
    const [y, other, dx] = [
      await output.data(),
      await module.forward(padded(1000), null, { lengths }).output.data(),
      (await x.grad?.data()) as Float32Array,
    ];
    expect([...other]).toEqual([...y]);
    for (const [b, length] of lengths.entries()) {
      const alone = module.forward(tensor(device, values.slice(b * 15, b * 15 + length * 3), [1, length, 3]));
      expectClose(y.subarray(b * 80, b * 80 + length * 16), await alone.output.data(), { atol: 1e-5, rtol: 0 });
      expect([...y.subarray(b * 80 + length * 16, (b + 1) * 80)].every((value) => value === 0)).toBe(true);
      expect([...dx.subarray((b * 5 + length) * 3, (b + 1) * 15)].every((value) => value === 0)).toBe(true);
    }
  });

  test("forward and backward of a layer take 12 launches at most, whatever T", () => {
    const module = make({ inputSize: 4, hiddenSize: 16 });
    for (const parameter of module.parameters()) parameter.gradSlot = zeros(device, parameter.shape);
    const launches = [4, 40].map((T) => {
      const x = zeros(device, [T, 2, 4]);
      x.requiresGrad = true;
      x.gradSlot = zeros(device, x.shape);
      const dy = zeros(device, [T, 2, 16]);
      const before = device.stats.dispatches;
      scope(() => backward(module.forward(x, null, { form: "sequence" }).output, dy));
      return device.stats.dispatches - before;
    });
    expect(launches[1]).toBe(launches[0]);
    expect(launches[0]).toBeLessThanOrEqual(12);
  });

  test("backward twice over a retained graph doubles the gradients; a replay repeats them", async () => {
    const module = make({ inputSize: 4, hiddenSize: 6, random: new Random(7) });
    const x = tensor(device, new Random(8).fillUniform(new Float32Array(3 * 2 * 4), -1, 1), [3, 2, 4]);
    const dy = ones(device, [3, 2, 6]);
    const weight = module.parameters()[1] as Tensor<"f32">;
    const { output } = module.forward(x);
    backward(output, dy, { retainGraph: true });
    const once = [...(await weight.grad!.data())];
    backward(output, dy);
    expectClose(
      await weight.grad!.data(),
      once.map((value) => 2 * value),
      { rtol: 1e-6, atol: 1e-7 },
    );
    const plan = await capture(device, () => {
      for (const parameter of module.parameters()) parameter.gradValid = false;
      backward(module.forward(x).output, dy);
    });
    for (let i = 0; i < 2; i++) {
      plan.replay();
      expect([...(await weight.grad!.data())]).toEqual(once);
    }
  });
});

const one = (values: readonly number[], shape: readonly number[]) => tensor(device, new Float32Array(values), shape);

test("a GRU resets after the hidden product, and z keeps the old state", async () => {
  const weights = {
    weightIh: one([0.3, -0.2, 0.7], [3, 1]),
    weightHh: one([0.9, 0.4, -1.1], [3, 1]),
    biasIh: one([0.1, 0.2, -0.3], [3]),
    biasHh: one([0.05, -0.15, 0.6], [3]),
  };
  const { h } = gruLayer(one([0.5], [1, 1, 1]), [weights], one([-0.8], [1, 1, 1]));
  expect(await h.item()).toBeCloseTo(0.0060092, 6);
});

test("an LSTM's gates are i, f, g, o", async () => {
  const weights = {
    weightIh: one([0.1, 0.2, 0.3, 0.4], [4, 1]),
    weightHh: one([0.5, 0.6, 0.7, 0.8], [4, 1]),
    biasIh: one([0.01, 0.02, 0.03, 0.04], [4]),
    biasHh: one([0.05, 0.06, 0.07, 0.08], [4]),
  };
  const { h, c } = lstmLayer(one([1], [1, 1, 1]), [weights], { h: one([0.2], [1, 1, 1]), c: one([-0.5], [1, 1, 1]) });
  expect(await c.item()).toBeCloseTo(-0.0209849, 6);
  expect(await h.item()).toBeCloseTo(-0.0139265, 6);
});

test("final states come layer by layer, forward before reverse; both layouts agree", async () => {
  const [T, B, I, H] = [3, 2, 3, 4];
  const options = { inputSize: I, hiddenSize: H, numLayers: 2, bidirectional: true };
  const timeFirst = new LSTM(device, { ...options, random: new Random(9) });
  const batchFirst = new LSTM(device, { ...options, batchFirst: true, random: new Random(9) });
  const values = new Random(10).fillUniform(new Float32Array(T * B * I), -1, 1);
  const swapped = values.map(
    (_, i) => values[((Math.floor(i / I) % T) * B + Math.floor(i / (I * T))) * I + (i % I)] as number,
  );
  const slots = Float32Array.from({ length: 4 * B * H }, (_, i) => (Math.floor(i / (B * H)) + 1) / 10);
  const state = { h: tensor(device, slots, [4, B, H]), c: tensor(device, slots, [4, B, H]) };
  const a = timeFirst.forward(tensor(device, values, [T, B, I]), state);
  const b = batchFirst.forward(tensor(device, swapped, [B, T, I]), state);
  const [ya, yb, ha, hb] = await Promise.all([a.output.data(), b.output.data(), a.state.h.data(), b.state.h.data()]);
  expectClose(hb, ha);
  const at = (t: number, entry: number, direction: number) =>
    ya.subarray(((t * B + entry) * 2 + direction) * H, ((t * B + entry) * 2 + direction + 1) * H);
  for (let entry = 0; entry < B; entry++) {
    expect([...at(T - 1, entry, 0)]).toEqual([...ha.subarray((2 * B + entry) * H, (2 * B + entry + 1) * H)]);
    expect([...at(0, entry, 1)]).toEqual([...ha.subarray((3 * B + entry) * H, (3 * B + entry + 1) * H)]);
    for (let t = 0; t < T; t++)
      expectClose(yb.subarray((entry * T + t) * 2 * H, (entry * T + t) * 2 * H + H), at(t, entry, 0));
  }
});
