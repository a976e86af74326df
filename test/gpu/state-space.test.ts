import { beforeAll, describe, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { LanguageModel, ModelConfig } from "../../src/models/language.ts";
import { mambaConfigOf, mambaParameterCount } from "../../src/models/mamba/config.ts";
import { MambaLanguageModel, mambaFromCheckpoint } from "../../src/models/mamba/model.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import { retnetParameterCount } from "../../src/models/retnet/config.ts";
import { RetNetLanguageModel } from "../../src/models/retnet/model.ts";
import { crossEntropy } from "../../src/ops/crossEntropy.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { chunks, feed, spreadWeights } from "../support/language.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const VOCABULARY = 19;
const configs: Record<string, ModelConfig> = {
  retnet: { kind: "retnet", vocabSize: VOCABULARY, channels: 8, heads: 2, numLayers: 2 },
  mamba: { kind: "mamba", vocabSize: VOCABULARY, channels: 8, stateSize: 5, numLayers: 2 },
};
/** Launches of a training step's forward and backward, and of a token, that a layer may take. */
const launches: Record<string, { readonly training: number; readonly token: number }> = {
  retnet: { training: 62, token: 19 },
  mamba: { training: 35, token: 13 },
};

/** A model whose weights all differ from zero (O15). */
function modelOf(config: ModelConfig): LanguageModel {
  const model = createModel(device, config, { random: new Random(1) });
  spreadWeights(model);
  return model;
}

const tokensOf = (T: number) => Int32Array.from({ length: T }, (_, t) => (13 * t + 5) % VOCABULARY);

describe.each(Object.keys(configs))("%s", (kind) => {
  const config = configs[kind] as ModelConfig;

  test("step by step, in pieces and at once agree (O15)", async () => {
    const model = modelOf(config);
    for (const T of [1, 2, 3, 5, 33, 65]) {
      const ids = tokensOf(T);
      const whole = await feed(model, ids, [T]);
      expect(whole.values.every(Number.isFinite)).toBe(true);
      for (const pieces of [new Array<number>(T).fill(1), chunks(T, 16), ...(T > 3 ? [[1, 2, T - 3]] : [])]) {
        const run = await feed(model, ids, pieces);
        expectClose(run.values, whole.values, { atol: 1e-4, rtol: 0, what: `logits in pieces of ${pieces}` });
        for (const [name, values] of whole.last)
          expectClose(run.last.get(name)!, values, { atol: 1e-4, rtol: 0, what: name });
      }
    }
    model.dispose();
  });

  test("the generator continues what the parallel form read, in constant memory", async () => {
    const model = modelOf(config);
    const ids = tokensOf(20);
    const whole = await feed(model, ids, [20]);
    const decoder = model.decoder();
    const now = model.initialState(1);
    const bytes: number[] = [];
    for (const [t, id] of ids.entries()) {
      const before = device.stats.dispatches;
      const logits = scope(() => {
        const { logits, state } = decoder.step(tensor(device, [id], [1], "u32"), now);
        now.assign(state);
        state.dispose();
        return logits;
      });
      const row = whole.values.slice(t * VOCABULARY, (t + 1) * VOCABULARY);
      expectClose(await logits.data(), row, { atol: 1e-4, rtol: 0 });
      // A row of the table, the last norm, the head and the count of tokens are not a layer's.
      if (t > 1) expect(device.stats.dispatches - before).toBeLessThanOrEqual(2 * launches[kind]!.token + 4);
      logits.dispose();
      bytes.push(device.stats.memory.live);
    }
    expect(new Set(bytes.slice(2)).size).toBe(1);
    now.dispose();
    model.dispose();
  });

  test("every parameter gets a gradient, in few launches", async () => {
    const model = modelOf(config);
    const tokens = tensor(device, tokensOf(24), [2, 12]);
    const step = () =>
      scope(() => {
        const logits = reshape(model.forward(tokens).logits, [-1, VOCABULARY]);
        backward(crossEntropy(logits, reshape(tokens, [-1])));
      });
    step();
    for (const parameter of model.parameters()) {
      const values = await parameter.grad!.data();
      expect(values.some((value) => value !== 0) && values.every(Number.isFinite)).toBe(true);
    }
    // The next step adds to these gradients: its pipelines are compiled before launches are counted.
    step();
    await model.parameters()[0]!.grad!.data();
    device.flush();
    const before = device.stats.dispatches;
    step();
    device.flush();
    const count = device.stats.dispatches - before;
    expect(count).toBeGreaterThan(launches[kind]!.training);
    // What is outside the layers: table, last norm, head, loss, with their gradients.
    expect(count).toBeLessThanOrEqual(2 * launches[kind]!.training + 14);
    model.dispose();
  });

  test("says what it cannot read", () => {
    const model = modelOf(config);
    expect(() => model.forward(tensor(device, tokensOf(4)))).toThrow(`${kind}: tokens are [4]; they must be [B, T]`);
    const lengths = tensor(device, [1, 2], [2], "u32");
    expect(() => model.forward(tensor(device, tokensOf(4), [2, 2]), undefined, { lengths })).toThrow(
      `${kind}: it cannot take texts of different lengths`,
    );
    expect(() => createModel(device, { ...config, numLayers: 0 })).toThrow(`${kind}: numLayers is 0`);
    model.dispose();
  });
});

test("their sizes are known before they are built", () => {
  const sizes: Record<string, number>[] = [{}, { valueChannels: 12, hiddenSize: 20, numLayers: 1 }];
  for (const extra of sizes) {
    const config = { ...(configs.retnet as ModelConfig), ...extra };
    const model = new RetNetLanguageModel(device, config);
    expect(retnetParameterCount(config)).toBe(model.parameterCount);
    model.dispose();
  }
  const others: Record<string, number>[] = [{}, { stateSize: 3, convWidth: 2, innerSize: 20, rank: 2, numLayers: 1 }];
  for (const extra of others) {
    const config = { ...(configs.mamba as ModelConfig), ...extra };
    const model = new MambaLanguageModel(device, config);
    expect(mambaParameterCount(config)).toBe(model.parameterCount);
    model.dispose();
  }
});

test("heads that do not divide are refused with their numbers, and leave no memory behind", () => {
  const { live } = device.stats.memory;
  const config = configs.retnet as ModelConfig;
  expect(() => modelKind("retnet").create(device, { ...config, heads: 3 })).toThrow(
    /8 channels in 3 heads make heads of/,
  );
  expect(() => modelKind("retnet").create(device, { ...config, heads: 8 })).toThrow(
    /8 channels in 8 heads make heads of 1/,
  );
  expect(device.stats.memory.live).toBe(live);
});

test("a Mamba checkpoint tells its shape, under either name of its table; others are refused", async () => {
  const model = modelOf({ ...(configs.mamba as ModelConfig), convWidth: 3 });
  const state = await model.stateDict();
  expect(mambaConfigOf(state)).toEqual(model.config);
  const table = state.get("backbone.embedding.weight")!;
  const renamed = new Map([...state].map(([name, value]) => [name.replace("embedding.", "embeddings."), value]));
  const again = mambaFromCheckpoint(device, renamed.set("lm_head.weight", table));
  expect(await again.stateDict()).toEqual(state);
  again.dispose();
  model.dispose();
  const { live } = device.stats.memory;
  expect(() => mambaFromCheckpoint(device, new Map())).toThrow("mamba: the file has no backbone.embedding.weight");
  const without = new Map([...state].filter(([name]) => !name.endsWith("1.mixer.D")));
  expect(() => mambaFromCheckpoint(device, without)).toThrow("missing backbone.layers.1.mixer.D");
  expect(device.stats.memory.live).toBe(live);
});
