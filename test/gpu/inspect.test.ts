/** Looking into models: what they held likely, what they attend to, how their state changes. */
import { beforeAll, expect, test } from "vitest";
import { noGrad } from "../../src/autograd/mode.ts";
import { stateCourse, tokenChoices } from "../../src/generate/inspect.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import { TransformerLanguageModel } from "../../src/models/transformer.ts";
import { attention } from "../../src/ops/attention/attention.ts";
import { attentionWeights } from "../../src/ops/attention/naive.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { spreadWeights } from "../support/language.ts";
import { numbers } from "../support/reference.ts";

const VOCABULARY = 11;
const ids = Int32Array.from({ length: 70 }, (_, i) => (i * 7 + (i >> 2)) % VOCABULARY);

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

function modelOf(kind: string) {
  const size = { vocabSize: VOCABULARY, width: 16, numLayers: 2, contextLength: 96 };
  const model = createModel(device, modelKind(kind).sized(size), { random: new Random(1) });
  spreadWeights(model);
  return model;
}

test.each(["gru", "transformer"])("%s: what was likely is the softmax of the logits, over chunks too", async (kind) => {
  const model = modelOf(kind);
  const found = await tokenChoices(model, ids, 3);
  expect(found).toHaveLength(ids.length - 1);
  const shares = scope(() => noGrad(() => softmax(model.forward(tensor(device, ids, [1, ids.length])).logits)));
  const rows = await shares.data();
  for (const [i, { probability, top }] of found.entries()) {
    const row = [...rows.subarray(i * VOCABULARY, (i + 1) * VOCABULARY)];
    const order = row.map((_, id) => id).sort((a, b) => row[b]! - row[a]!);
    expectClose(
      [probability, ...top.map((one) => one.probability)],
      [row[ids[i + 1]!]!, ...order.slice(0, 3).map((id) => row[id]!)],
    );
    expect(top[0]?.id).toBe(order[0]);
  }
  expect((await tokenChoices(model, ids.slice(0, 3), 99))[0]?.top).toHaveLength(VOCABULARY);
  shares.dispose();
  model.dispose();
});

test("attention's weights, times the values, are its result", async () => {
  const [q, k, v] = [1, 2, 3].map((seed) => {
    const { shape, data } = numbers([1, 2, 9, 8], -2, 2, seed);
    return tensor(device, Float32Array.from(data), shape);
  });
  const options = { causal: true, window: 4 };
  const made = scope(() => [matmul(attentionWeights(q!, k!, options), v!), attention(q!, k!, v!, options)] as const);
  const [product, whole] = await Promise.all(made.map((one) => one.data()));
  expectClose(product!, whole!);
  for (const one of [...made, q, k, v]) one?.dispose();
});

test("a Transformer shows the weights of each layer: causal rows of sum 1 that change with the text", async () => {
  const model = modelOf("transformer") as TransformerLanguageModel;
  expect(model).toBeInstanceOf(TransformerLanguageModel);
  const T = 9;
  const layers = scope(() => model.attentionWeights(tensor(device, ids.slice(0, T), [1, T])));
  expect(layers.map(({ shape }) => shape)).toEqual([1, 2].map(() => [1, model.config.heads, T, T]));
  for (const layer of layers) {
    const weights = await layer.data();
    for (let row = 0; row < weights.length / T; row++) {
      const one = [...weights.subarray(row * T, (row + 1) * T)];
      expect(one.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 5);
      expect(one.slice((row % T) + 1).every((weight) => weight === 0)).toBe(true);
    }
    // From equal scores all weights of a row would be equal.
    expect(Math.max(...weights.subarray((T - 1) * T, T * T))).toBeGreaterThan(1.001 / T);
    layer.dispose();
  }
  model.dispose();
});

test.each(["lstm", "rwkv7"])("%s: the state after each token is that of the parallel form", async (kind) => {
  const model = modelOf(kind);
  const T = 5;
  const live = device.stats.memory.live;
  const courses = await stateCourse(model, ids.slice(0, T));
  expect(device.stats.memory.live).toBe(live);
  expect(model.training).toBe(true);
  for (const length of [2, T]) {
    const state = scope(() => noGrad(() => model.forward(tensor(device, ids.slice(0, length), [1, length])).state));
    const data = await state.data();
    expect(courses.map(({ name }) => name).sort()).toEqual([...data.keys()].sort());
    for (const { name, shape, values } of courses) {
      const part = data.get(name)!;
      expect(shape).toEqual(part.shape);
      const size = part.values.length;
      expectClose(values.subarray((length - 1) * size, length * size), part.values, { atol: 1e-4, what: name });
    }
    state.dispose();
  }
  model.dispose();
});
