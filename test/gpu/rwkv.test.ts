import { beforeAll, describe, expect, test } from "vitest";
import { scenario as millionTokens } from "../../bench/scenarios/million-tokens.ts";
import { noGrad } from "../../src/autograd/mode.ts";
import { Session } from "../../src/generate/session.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { toFloat32, toInt32 } from "../../src/io/convert.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { rwkvParameterCount, rwkvVersions } from "../../src/models/rwkv/config.ts";
import { rwkvConfigOf, rwkvFromCheckpoint } from "../../src/models/rwkv/load.ts";
import { RwkvLanguageModel } from "../../src/models/rwkv/model.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { readFile } from "../support/files.ts";
import { chunks, feed, spreadWeights } from "../support/language.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const VOCABULARY = 19;

/** A model whose weights all differ from zero (O15). */
function modelOf(version: string): RwkvLanguageModel {
  const config = {
    kind: `rwkv${version}`,
    vocabSize: VOCABULARY,
    channels: 16,
    heads: version === "4" ? 1 : 2,
    numLayers: 2,
  };
  const model = new RwkvLanguageModel(device, config, { random: new Random(1) });
  spreadWeights(model);
  return model;
}

const tokensOf = (T: number) => Int32Array.from({ length: T }, (_, t) => (13 * t + 5) % VOCABULARY);

describe.each(rwkvVersions)("RWKV-%s", (version) => {
  test("step by step, in pieces and at once agree (O15)", async () => {
    const model = modelOf(version);
    for (const T of [1, 2, 5, 33, 64]) {
      const ids = tokensOf(T);
      const whole = await feed(model, ids, [T]);
      expect(whole.values.every(Number.isFinite)).toBe(true);
      const rest = T > 3 ? [[1, 2, T - 3]] : [];
      for (const pieces of [new Array<number>(T).fill(1), chunks(T, 16), ...rest]) {
        const run = await feed(model, ids, pieces);
        expectClose(run.values, whole.values, { atol: 1e-4, rtol: 0, what: `logits in pieces of ${pieces}` });
        for (const [name, values] of whole.last)
          expectClose(run.last.get(name)!, values, { atol: 1e-4, rtol: 0, what: name });
      }
    }
    model.dispose();
  });

  test("the generator continues what the parallel form read, in constant memory", async () => {
    const model = modelOf(version);
    const ids = tokensOf(20);
    const whole = await feed(model, ids, [20]);
    const decoder = model.decoder();
    const now = model.initialState(1);
    const bytes: number[] = [];
    const step = (id: number) => {
      const { logits, state } = decoder.step(tensor(device, [id], [1], "u32"), now);
      now.assign(state);
      state.dispose();
      return logits;
    };
    for (const [t, id] of ids.entries()) {
      const logits = scope(() => step(id));
      expectClose(await logits.data(), whole.values.slice(t * VOCABULARY, (t + 1) * VOCABULARY), {
        atol: 1e-4,
        rtol: 0,
      });
      logits.dispose();
      bytes.push(device.stats.memory.live);
    }
    expect(new Set(bytes.slice(2)).size).toBe(1);
    now.dispose();
    model.dispose();
  });

  test("texts padded on the right give the logits and states of each text alone", async () => {
    const model = modelOf(version);
    const [lengths, T] = [[3, 9, 1], 9];
    const rows = lengths.map((length, b) => tokensOf(T + b).slice(b, b + length));
    const padded = Int32Array.from({ length: lengths.length * T }, (_, i) => rows[Math.floor(i / T)]![i % T] ?? 7);
    const { logits, state } = scope(() =>
      noGrad(() => {
        const tokens = tensor(device, padded, [lengths.length, T]);
        const options = { lengths: tensor(device, lengths, [lengths.length], "u32") };
        return model.forward(tokens, model.forward(tokens, undefined, options).state, options);
      }),
    );
    const values = await logits.data();
    const held = await state.data();
    for (const [b, row] of rows.entries()) {
      const alone = await feed(model, Int32Array.from([...row, ...row]), [row.length, row.length]);
      const start = b * T * VOCABULARY;
      const own = values.slice(start, start + row.length * VOCABULARY);
      expectClose(own, alone.values.slice(row.length * VOCABULARY), { atol: 1e-4, rtol: 0, what: `text ${b}` });
      for (const [name, { shape, values }] of held) {
        // Version 4 has three rows for each text.
        const size = alone.last.get(name)!.length;
        const parts = version === "4" && name.endsWith("wkv") ? 3 : 1;
        const width = size / parts;
        const mine = Array.from({ length: size }, (_, i) => {
          const [part, c] = [Math.floor(i / width), i % width];
          return values[(part * lengths.length + b) * width + c]!;
        });
        expectClose(mine, alone.last.get(name)!, { atol: 1e-4, rtol: 1e-4, what: `${name} ${shape} of text ${b}` });
      }
    }
    for (const one of [logits, state, model]) one.dispose();
  });

  test("its size is known before it is built, and its file tells its shape", async () => {
    const sizes: Record<string, number>[] = [{}, { hiddenSize: 40, numLayers: 1 }];
    for (const extra of sizes) {
      const config = {
        kind: `rwkv${version}`,
        vocabSize: 11,
        channels: 24,
        heads: version === "4" ? 1 : 3,
        numLayers: 3,
        ...extra,
      };
      const model = new RwkvLanguageModel(device, config);
      expect(rwkvParameterCount(config)).toBe(model.parameterCount);
      const state = await model.stateDict();
      expect(rwkvConfigOf(state)).toEqual({ ...model.config, ...(config.numLayers === 1 ? { valueRank: 0 } : {}) });
      const squeezed = new Map(
        [...state].map(([name, { shape, values }]) => [name, { shape: shape.filter((n) => n > 1), values }]),
      );
      const again = rwkvFromCheckpoint(
        device,
        new Map([...squeezed, ...[...state].filter(([name]) => /time_(decay|faaaa|first)|r_k/.test(name))]),
      );
      expect(await again.stateDict()).toEqual(state);
      again.dispose();
      model.dispose();
    }
  });
});

test("a long context costs no memory and no time (the scenario of a million tokens, cut short)", async () => {
  const [first, last] = await millionTokens.run(device, { quick: true, progress: () => {} });
  expect(first).toMatchObject({ kind: "RWKV-7", seen: 100 });
  expect(last!.seen).toBe(1000);
  for (const held of ["state", "live", "pool"]) expect(last![held], held).toBe(first![held]);
  for (const ratio of ["readingRatio", "writingRatio"]) expect(last![ratio], ratio).toBeLessThan(1.5);
});

test("files that are no RWKV checkpoint are refused in one sentence, and leave no memory behind", async () => {
  const model = modelOf("7");
  const state = await model.stateDict();
  model.dispose();
  const { live } = device.stats.memory;
  const without = (pattern: RegExp) => new Map([...state].filter(([name]) => !pattern.test(name)));
  expect(() => rwkvFromCheckpoint(device, new Map())).toThrow(
    "rwkv: the file has no emb.weight; it is not an RWKV checkpoint",
  );
  expect(() => rwkvFromCheckpoint(device, without(/att\./))).toThrow("of no version that this engine knows");
  expect(() => rwkvFromCheckpoint(device, without(/blocks\.1\.att\.g2/))).toThrow("missing blocks.1.att.g2");
  const gap = new Map([...state].map(([name, value]) => [name.replace("blocks.1.", "blocks.2."), value]));
  expect(() => rwkvFromCheckpoint(device, gap)).toThrow("rwkv: the file lacks layer 1 of 3; use all parts");
  const extra = { shape: [16], values: new Float32Array(16) };
  expect(() => rwkvFromCheckpoint(device, new Map([...state, ["blocks.1.att.zz", extra]]))).toThrow(
    "unexpected blocks.1.att.zz",
  );
  expect(device.stats.memory.live).toBe(live);
  const unused = rwkvFromCheckpoint(device, new Map([...state, ["blocks.0.att.v0", extra]]));
  unused.dispose();
});

/** Published tiny models beside the repository, where they are there. */
const MODELS = "../shared/models";
const published = [
  { name: "tiny-rwkv-4v0-660K", headEps: 64e-5, tolerance: 1e-3 },
  { name: "tiny-rwkv-4v0-660K.f16", headEps: 64e-5, tolerance: 1e-3 },
  { name: "tiny-rwkv-4v0-660K.bf16", headEps: 64e-5, tolerance: 1e-3 },
  { name: "tiny-rwkv-5v1-730K", headEps: 1e-5, tolerance: 1e-3 },
  { name: "tiny-rwkv-5v2-730K", headEps: 1e-5, tolerance: 1e-3 },
  { name: "tiny-rwkv-6v0-3m", headEps: 64e-5, tolerance: 1e-3 },
  { name: "tiny-rwkv-7v0-834K", headEps: 64e-5, tolerance: 1e-3 },
];
const found = await readFile(`${MODELS}/${published[0]!.name}.safetensors`).then(
  () => true,
  () => false,
);

test.skipIf(!found).each(published)("$name gives its logits and its text", async ({ name, headEps, tolerance }) => {
  const open = async (file: string) => parseSafetensors(await readFile(`${MODELS}/${file}.safetensors`)).tensors;
  const file = await open(name);
  const expected = await open(`${name}.expected`);
  const state = new Map([...file].map(([key, value]) => [key, { shape: value.shape, values: toFloat32(value, key) }]));
  const model = rwkvFromCheckpoint(device, state, headEps);
  // The half-precision files come with fewer prompts.
  const prompts = [0, 1, 2].filter((n) => expected.has(`in.tokens_${n}`));
  expect(prompts.length).toBeGreaterThan(0);
  for (const prompt of prompts) {
    const ids = toInt32(expected.get(`in.tokens_${prompt}`)!, "tokens") as Int32Array<ArrayBuffer>;
    const logits = toFloat32(expected.get(`out.logits_${prompt}`)!, "logits");
    const ways =
      prompt === 1 ? [[ids.length], chunks(ids.length, 16), new Array<number>(ids.length).fill(1)] : [[ids.length]];
    for (const pieces of ways) {
      const { values } = await feed(model, ids, pieces);
      expectClose(values, logits, { atol: tolerance, rtol: 0, what: `prompt ${prompt} in pieces of ${pieces}` });
    }
  }
  const text = expected.get("out.greedy_64");
  const session = new Session(model);
  if (text) {
    session.feed(toInt32(expected.get("in.tokens_0")!, "tokens") as Int32Array<ArrayBuffer>);
    const ids: number[] = [];
    for await (const id of session.generate({ maxTokens: 16, temperature: 0 })) ids.push(id);
    expect(ids).toEqual([...toInt32(text, "greedy")].slice(0, 16));
  }
  session.dispose();
  model.dispose();
});
