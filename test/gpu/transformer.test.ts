import { beforeAll, describe, expect, test } from "vitest";
import { noGrad } from "../../src/autograd/mode.ts";
import { Session } from "../../src/generate/session.ts";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { LanguageModel, ModelConfig } from "../../src/models/language.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import type { ModelState } from "../../src/models/state.ts";
import { TransformerLanguageModel } from "../../src/models/transformer.ts";
import { positionKinds, sinusoidalPositions } from "../../src/nn/positions.ts";
import { crossEntropy } from "../../src/ops/crossEntropy.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { chunks, piecesOf, spreadWeights, wholeOf } from "../support/language.ts";

let device: Device;
/** The same device with the launches that a real GPU gets. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

const VOCABULARY = 19;
const SHAPE = { kind: "transformer", vocabSize: VOCABULARY, channels: 8, heads: 2, numLayers: 2 };

/** A model whose weights all differ from zero (O15). */
function modelOf(config: Partial<ModelConfig>, on = device): TransformerLanguageModel {
  const model = new TransformerLanguageModel(on, { ...SHAPE, ...config } as ModelConfig, { random: new Random(1) });
  spreadWeights(model);
  model.eval();
  return model;
}

const tokensOf = (T: number, from = 5) =>
  Int32Array.from({ length: T }, (_, t) => (13 * t + (t % 7) + from) % VOCABULARY);

const agree = { atol: 1e-4, rtol: 0 };

describe.each(positionKinds)("%s positions", (positions) => {
  test("step by step, in pieces and at once agree (O15)", async () => {
    const model = modelOf({ positions, contextLength: 80 });
    for (const T of [1, 2, 5, 33, 65]) {
      const ids = tokensOf(T);
      const whole = await wholeOf(model, ids);
      expect(whole.every(Number.isFinite)).toBe(true);
      const rest = T > 3 ? [[1, 2, T - 3]] : [];
      for (const pieces of [[T], chunks(T, 1), chunks(T, 16), ...rest])
        expectClose(await piecesOf(model, ids, pieces), whole, { ...agree, what: `T = ${T}, pieces of ${pieces}` });
    }
    model.dispose();
  });

  test("a batch padded on the right gives each row what it gives alone, and goes on from its own end (O16)", async () => {
    const model = modelOf({ positions, contextLength: 16 });
    await checkPadding(model);
    model.dispose();
  });

  test("its size is known before it is built", () => {
    const config = { ...SHAPE, contextLength: 24, dropout: 0, positions };
    const model = createModel(device, config);
    expect(modelKind("transformer").parameterCount(config)).toBe(model.parameterCount);
    model.dispose();
  });
});

test.each(["rnn", "gru", "lstm"])("O16: a padded batch of a model of kind %s", async (kind) => {
  const config = { kind, vocabSize: VOCABULARY, embeddingSize: 8, hiddenSize: 8, numLayers: 2, dropout: 0 };
  const model = createModel(device, config);
  spreadWeights(model);
  model.eval();
  await checkPadding(model);
  model.dispose();
});

test("O16: a kind that runs over padding refuses it", () => {
  const model = createModel(
    device,
    modelKind("mamba").sized({ vocabSize: VOCABULARY, width: 8, numLayers: 1, contextLength: 8 }),
  );
  const lengths = tensor(device, [2, 1], [2], "u32");
  expect(() => model.forward(tensor(device, tokensOf(4), [2, 2]), undefined, { lengths })).toThrow(
    "mamba: it cannot take texts of different lengths in one batch",
  );
  model.dispose();
});

async function checkPadding(model: LanguageModel): Promise<void> {
  const lengths = [5, 1, 3];
  const T = 5;
  const texts = lengths.map((length, b) => tokensOf(length, 3 * b));
  const next = [4, 9, 2];
  const alone = await Promise.all(
    texts.map((ids, b) => piecesOf(model, Int32Array.from([...ids, next[b] as number]), [ids.length, 1])),
  );
  for (const padding of [0, 7]) {
    const ids = Int32Array.from({ length: 3 * T }, (_, i) => texts[Math.floor(i / T)]?.[i % T] ?? padding);
    const targets = Int32Array.from({ length: 3 * T }, (_, i) =>
      i % T < (lengths[Math.floor(i / T)] as number) ? i % VOCABULARY : -100,
    );
    const start = model.initialState(3);
    const { logits, loss, after } = scope(() =>
      noGrad(() => {
        const first = model.forward(tensor(device, ids, [3, T]), start, {
          lengths: tensor(device, lengths, [3], "u32"),
        });
        const loss = crossEntropy(reshape(first.logits, [-1, VOCABULARY]), tensor(device, targets));
        const { logits: after, state } = model.decoder().step(tensor(device, next, [3], "u32"), first.state);
        state.dispose();
        return { logits: first.logits, loss, after };
      }),
    );
    const [found, last] = [await logits.data(), await after.data()];
    let sum = 0;
    lengths.forEach((length, b) => {
      const own = found.slice(b * T * VOCABULARY, (b * T + length) * VOCABULARY);
      const expected = alone[b]?.slice(0, length * VOCABULARY) as number[];
      expectClose(own, expected, { atol: 1e-5, what: `row ${b}, padded with ${padding}` });
      const gone = last.slice(b * VOCABULARY, (b + 1) * VOCABULARY);
      expectClose(gone, alone[b]?.slice(length * VOCABULARY) as number[], { atol: 1e-5, what: `after row ${b}` });
      for (let t = 0; t < length; t++) {
        const row = expected.slice(t * VOCABULARY, (t + 1) * VOCABULARY);
        sum += Math.log(row.reduce((total, x) => total + Math.exp(x), 0)) - (row[(b * T + t) % VOCABULARY] as number);
      }
    });
    expect(await loss.item()).toBeCloseTo(sum / 9, 5);
    for (const own of [start, logits, loss, after]) own.dispose();
  }
}

/** Milliseconds: an emulation compiles kernels with workgroup memory in proportion to it. */
const TILES_COMPILE_SLOWLY = 240_000;

test(
  "a device with the launches of a GPU agrees, with its cache split over workgroups",
  async () => {
    const sizes = { positions: "rotary", contextLength: 500, numLayers: 1 };
    const [here, there] = [modelOf(sizes), modelOf(sizes, wide)];
    const ids = tokensOf(540);
    const whole = await wholeOf(here, ids);
    expectClose(await wholeOf(there, ids), whole, agree);
    expectClose(await piecesOf(there, ids, [1, 512, 22, ...chunks(5, 1)]), whole, agree);
    here.dispose();
    there.dispose();
  },
  TILES_COMPILE_SLOWLY,
);

test("past its window, every form sees the same tokens", async () => {
  const model = modelOf({ positions: "rotary", contextLength: 8 });
  // The ring has 71 slots: it is written over twice.
  const T = 150;
  const ids = tokensOf(T);
  const whole = await wholeOf(model, ids);
  for (const pieces of [[T], chunks(T, 1), chunks(T, 64), [1, 2, T - 3], [100, ...chunks(T - 100, 1)]])
    expectClose(await piecesOf(model, ids, pieces), whole, { ...agree, what: `pieces of ${pieces}` });
  // Two layers reach back twice the window: a change before that shows nowhere, one within it does.
  const changed = Int32Array.from(ids);
  changed[100] = ((changed[100] as number) + 1) % VOCABULARY;
  const other = await wholeOf(model, changed);
  const row = (values: Float32Array, t: number) => [...values.slice(t * VOCABULARY, (t + 1) * VOCABULARY)];
  expect(row(other, 99)).toEqual(row(whole, 99));
  expect(row(other, 114)).not.toEqual(row(whole, 114));
  expect(row(other, 115)).toEqual(row(whole, 115));
  model.dispose();
});

test("texts of unequal lengths that are longer than the ring", async () => {
  const model = modelOf({ positions: "rotary", contextLength: 4 });
  const lengths = [150, 3];
  const T = 150;
  const ids = Int32Array.from([...tokensOf(T), ...tokensOf(3), ...new Array<number>(T - 3).fill(0)]);
  const start = model.initialState(2);
  const after = scope(() =>
    noGrad(() => {
      const options = { lengths: tensor(device, lengths, [2], "u32") };
      const { state } = model.forward(tensor(device, ids, [2, T]), start, options);
      return model.decoder().step(tensor(device, [4, 4], [2], "u32"), state).logits;
    }),
  );
  const found = await after.data();
  for (const [b, length] of lengths.entries()) {
    const alone = await wholeOf(model, Int32Array.from([...tokensOf(length), 4]));
    expectClose(found.slice(b * VOCABULARY, (b + 1) * VOCABULARY), alone.slice(-VOCABULARY), { ...agree });
  }
  start.dispose();
  after.dispose();
  model.dispose();
});

test("a text goes on past the window in constant memory, and as the parallel form has it", async () => {
  const model = modelOf({ positions: "rotary", contextLength: 8 });
  const session = new Session(model);
  session.feed(tokensOf(70));
  const ids = [...tokensOf(70)];
  const live: number[] = [];
  for await (const id of session.generate({ maxTokens: 96, temperature: 0 })) {
    ids.push(id);
    live.push(device.stats.memory.live);
  }
  expect(ids).toHaveLength(166);
  expect(new Set(live.slice(16)).size).toBe(1);
  const logits = await wholeOf(model, Int32Array.from(ids));
  for (let t = 69; t < 165; t++) {
    const row = [...logits.slice(t * VOCABULARY, (t + 1) * VOCABULARY)];
    const best = Math.max(...row);
    expect(best - (row[ids[t + 1] as number] as number), `token ${t + 1}`).toBeLessThan(1e-4);
  }
  session.dispose();
  model.dispose();
});

test("what pages size has no end; a configuration that does not say is GPT-2's", () => {
  const sized = createModel(device, modelKind("transformer").sized({ vocabSize: 5, width: 16, numLayers: 1 }));
  expect(sized.config.positions).toBe("rotary");
  expect(sized.contextLength).toBe(2 ** 24);
  const old = createModel(device, { ...SHAPE, contextLength: 16, dropout: 0 });
  expect(old.contextLength).toBe(16);
  expect([...old.namedParameters()].map(([name]) => name)).toContain("transformer.wpe.weight");
  sized.dispose();
  old.dispose();
});

test("sinusoidal positions are those of the paper", async () => {
  const table = await sinusoidalPositions(device, 50, 7).data();
  const angle = 37 / 10_000 ** (4 / 7);
  expect(table[37 * 7 + 4]).toBeCloseTo(Math.sin(angle), 6);
  expect(table[37 * 7 + 5]).toBeCloseTo(Math.cos(angle), 6);
  expect(table[37 * 7 + 6]).toBeCloseTo(Math.sin(37 / 10_000 ** (6 / 7)), 6);
  expect(() => sinusoidalPositions(device, 0, 4)).toThrow("length is 0 and must be a whole number of 1 or more");
});

test("refuses what does not fit, in one sentence", () => {
  const build = (config: Record<string, string | number>) => () =>
    createModel(device, { ...SHAPE, contextLength: 8, dropout: 0, ...config });
  expect(build({ heads: 3 })).toThrow("transformer: 8 channels do not divide into 3 heads");
  expect(build({ positions: "alibi" })).toThrow("positions are alibi; use rotary, learned, sinusoidal");
  expect(build({ channels: 6, positions: "rotary" })).toThrow("rotary positions need heads of even size");
  expect(build({ contextLength: 0 })).toThrow("contextLength is 0; use a whole number of 1 or more");
  const model = build({})();
  const state = model.initialState(1);
  const other = model.initialState(2);
  const ids = (T: number) => tensor(device, tokensOf(T), [1, T]);
  expect(() => model.forward(ids(9))).toThrow("transformer: 0 + 9 tokens are more than its 8 positions");
  const read = noGrad(() => model.forward(ids(6), state)).state;
  expect(() => model.forward(ids(3), read)).toThrow("6 + 3 tokens are more than its 8 positions");
  const full = noGrad(() => model.forward(ids(2), read)).state;
  expect(() => model.decoder().step(tensor(device, new Uint32Array([3])), full)).toThrow(
    "8 + 1 tokens are more than its 8 positions",
  );
  expect(() => model.forward(ids(3), other)).toThrow(
    "the state's cache0 is [2, 2, 2, 8, 4] instead of [2, 1, 2, 8, 4]; start from initialState(1)",
  );
  const lengths = tensor(device, [2], [1], "u32");
  expect(() => model.forward(ids(1), read, { lengths })).toThrow("texts of unequal lengths are read from their start");
  const unequal: ModelState = noGrad(() => model.forward(ids(3), state, { lengths })).state;
  expect(() => model.forward(ids(1), unequal)).toThrow("go on with the decoder, a token at a time");
  expect(() => model.forward(ids(1), state, { lengths: tensor(device, [2, 2], [2], "u32") })).toThrow(
    "lengths are [2] and must be [1]",
  );
  for (const own of [read, full, unequal, state, other, model]) own.dispose();
});
