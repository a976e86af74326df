import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { noGrad } from "../../src/autograd/mode.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { ModelConfig } from "../../src/models/language.ts";
import { createModel } from "../../src/models/registry.ts";
import { GRU, LSTM, RNN } from "../../src/nn/rnn.ts";
import { add } from "../../src/ops/binary.ts";
import { embedding } from "../../src/ops/embedding.ts";
import { toFull, toHalf } from "../../src/ops/half.ts";
import { linear } from "../../src/ops/linear.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { packStep } from "../../src/ops/rnn/step.ts";
import { mapRows } from "../../src/ops/wkv/lowRank.ts";
import { AdamW } from "../../src/optim/adam.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import { narrowHalf, packHalves, widenHalf } from "../../src/tensor/half.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { feed, spreadWeights } from "../support/language.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const rounded = (values: Float32Array) => widenHalf(packHalves(values));

test("numbers become the nearest halves, as on the host", async () => {
  const random = new Random(3);
  const values = Float32Array.from(
    { length: 4099 },
    () => (random.uniform() - 0.5) * 2 ** (36 * random.uniform() - 26),
  );
  // Ties, the ends of the normal and subnormal numbers, and what overflows.
  const ends = [0, -0, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 2 ** -14, 2 ** -14 - 2 ** -25, 2 ** -24, 2 ** -25, 3 * 2 ** -25];
  const special = [...ends, 1e-30, 65504, 65519, 65520, -7e4, 3e38];
  values.set([...special, ...special.map((v) => -v)]);
  for (const size of [1, 2, 3, 5, 4099]) {
    const full = tensor(device, values.slice(0, size));
    const halves = toHalf(full);
    const want = rounded(values.slice(0, size));
    expect(halves.bytes).toBe(4 * Math.ceil(size / 2));
    expect(await halves.data()).toEqual(want);
    expect(await toFull(halves).data()).toEqual(want);
    const reversed = values.slice(0, size).reverse();
    expect(await halves.write(reversed).data()).toEqual(rounded(reversed));
  }
});

test.each([1, 3, 8, 65])("a table of halves with rows of %i", async (channels) => {
  const rows = 7;
  const values = new Random(1).fillUniform(new Float32Array(rows * channels), -1, 1);
  const ids = [6, 0, 3, 3, 5, 1, 4, -1, 7];
  const y = await embedding(
    toHalf(tensor(device, values, [rows, channels])),
    tensor(device, new Int32Array(ids)),
  ).data();
  const want = ids.flatMap((id) =>
    id < 0 || id >= rows
      ? new Array<number>(channels).fill(NaN)
      : [...rounded(values.slice(id * channels, (id + 1) * channels))],
  );
  expect([...y]).toEqual(want);
});

test.each([
  [3, 5, 7],
  [17, 8, 12],
  [65, 33, 16],
])("gradients of %i rows go through halves of %i by %i", async (rows, inner, outer) => {
  const random = new Random(4);
  const draw = (...shape: number[]) =>
    tensor(device, random.fillUniform(new Float32Array(shape.reduce((a, b) => a * b)), -1, 1), shape);
  const [x, bias, dy] = [draw(rows, inner), draw(outer), draw(rows, outer)];
  x.requiresGrad = true;
  bias.requiresGrad = true;
  const [weight, turned] = [toHalf(draw(outer, inner)), toHalf(draw(inner, outer))];
  const gradients = async (w: Tensor, t: Tensor) => {
    for (const leaf of [x, bias]) leaf.gradValid = false;
    scope(() => {
      backward(linear(x, w, bias, { activation: "tanh" }), dy);
      backward(matmul(x, t), dy);
      backward(mapRows(x, t, { offset: bias, activation: "sigmoid" }), dy);
    });
    return [[...(await x.grad!.data())], [...(await bias.grad!.data())]].flat();
  };
  expectClose(await gradients(weight, turned), await gradients(toFull(weight), toFull(turned)), { atol: 1e-5 });
});

test("what halves cannot do is refused", () => {
  const weight = toHalf(ones(device, [4, 3]));
  const x = ones(device, [2, 3]);
  expect(() => add(weight, weight)).toThrow(
    "add: the tensor [4, 3] is stored as f16, which only matrix products and lookups read; convert it with toFull(x)",
  );
  expect(() => matmul(weight, ones(device, [3, 2]))).toThrow("matmul: the tensor [4, 3] is stored as f16");
  expect(() => toHalf(weight)).toThrow("toHalf: the tensor [4, 3] is stored as f16");
  expect(() => toFull(x)).toThrow("toFull: the tensor [2, 3] is not stored as f16; use it as it is");
  expect(() => new AdamW([weight], { lr: 1 })).toThrow("optimizer: the tensor [4, 3] is stored as f16");
  x.requiresGrad = true;
  expect(() => matmul(x, weight, { transposeA: true, transposeB: true })).toThrow("matmul: the weight [4, 3] is");
  weight.requiresGrad = true;
  expect(() => linear(x, weight)).toThrow(
    "linear: the weight [4, 3] is stored as f16, and has no gradient here; train with f32 weights, or run it inside noGrad",
  );
  expect(() => mapRows(x, toHalf(ones(device, [3, 4])))).not.toThrow();
  expect(() => mapRows(ones(device, [2, 4]), weight)).toThrow("mapRows: the weight [4, 3] is stored as f16");
  expect(noGrad(() => linear(x, weight)).shape).toEqual([2, 4]);
  expect(() => embedding(weight, tensor(device, [0], [1], "u32"))).toThrow("embedding: the weight [4, 3] is stored");
});

test.each(Object.entries({ RNN, GRU, LSTM }))(
  "%s never unpacks halves: the launches and the memory of f32, and half the bytes a step reads",
  async (_, Layer) => {
    const own = await openDevice({ gpu: await getGpu() });
    const module = new Layer(own, { inputSize: 8, hiddenSize: 64, batchFirst: true, random: new Random(3) });
    const x = ones(own, [1, 2, 8]);
    const weights = module.layers[0]![0]!;
    const measured = () => {
      own.flush();
      own.pool.resetPeak();
      const { dispatches, memory } = own.stats;
      const packed = noGrad(() => {
        scope(() => void module.forward(x));
        return packStep(module.kind, weights);
      });
      own.flush();
      packed.dispose();
      return {
        launches: own.stats.dispatches - dispatches,
        taken: own.stats.memory.peak - memory.live,
        bytes: packed.bytes,
      };
    };
    const full = measured();
    module.half();
    const half = measured();
    expect(half.launches).toBe(full.launches);
    expect(half.taken).toBe(full.taken);
    expect(half.bytes).toBeLessThan(0.54 * full.bytes);
    own.destroy();
  },
);

/** Widths that vectors fit and do not fit, tied and untied heads, low-rank maps, packed hidden weights. */
const CONFIGS: readonly ModelConfig[] = [
  { kind: "lstm", vocabSize: 11, embeddingSize: 5, hiddenSize: 7, numLayers: 2, dropout: 0 },
  { kind: "transformer", vocabSize: 19, channels: 8, heads: 2, numLayers: 2, contextLength: 16, dropout: 0 },
  { kind: "rwkv6", vocabSize: 13, channels: 8, heads: 2, numLayers: 2 },
  { kind: "rwkv7", vocabSize: 13, channels: 8, heads: 2, numLayers: 2 },
  { kind: "mamba", vocabSize: 9, channels: 8, stateSize: 4, numLayers: 1 },
];

describe.each(CONFIGS)("$kind with its matrices stored as halves", (config) => {
  test("gives the logits of the rounded weights, in half the memory", async () => {
    const full = createModel(device, config, { random: new Random(1) }).eval();
    spreadWeights(full);
    const before = await full.stateDict();
    const bytes = full.parameters().reduce((sum, { bytes }) => sum + bytes, 0);
    const halved = createModel(device, config, { random: new Random(1) });
    const { live } = device.stats.memory;
    halved.half();
    expect(device.stats.memory.live).toBeLessThan(live);
    halved.loadStateDict(before);

    const matrices = [...halved.namedParameters()].filter(([, { half }]) => half).map(([name]) => name);
    const packed = matrices.reduce((sum, name) => sum + (before.get(name)?.values.length as number), 0);
    const saved = bytes - halved.parameters().reduce((sum, { bytes }) => sum + bytes, 0);
    expect(Math.abs(saved - 2 * packed)).toBeLessThanOrEqual(2 * matrices.length);
    // All but vectors and what the mixers alone read.
    expect(packed / full.parameterCount).toBeGreaterThan(0.6);
    const after = await halved.stateDict();
    for (const [name, { values }] of before) {
      expect(after.get(name)?.values).toEqual(matrices.includes(name) ? widenHalf(narrowHalf(values)) : values);
    }
    full.loadStateDict(after);

    const ids = Int32Array.from({ length: 9 }, (_, t) => (5 * t + (t % 3)) % config.vocabSize);
    const want = await feed(full, ids, [9]);
    expectClose((await feed(halved, ids, [9])).values, want.values, { what: "the parallel form" });
    const decoder = halved.decoder();
    const last = scope(() => {
      let state = halved.initialState(1);
      let logits = null;
      for (const id of ids) ({ logits, state } = decoder.step(tensor(device, new Uint32Array([id])), state));
      return logits as unknown as ReturnType<typeof ones>;
    });
    expectClose(await last.data(), want.values.slice(-config.vocabSize), {
      atol: 1e-4,
      rtol: 1e-3,
      what: "the decoder",
    });
    expect(() => full.half().half()).not.toThrow();
    decoder.dispose();
    for (const model of [full, halved]) model.dispose();
  });
});
