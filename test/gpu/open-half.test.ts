/** Models whose weights stay halves on the device. */
import { beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import { type OpenModelOptions, openModel } from "../../src/models/open.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import type { StateDict } from "../../src/nn/module.ts";
import { narrowHalf, widenHalf } from "../../src/tensor/half.ts";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { encodeSource } from "../../src/text/source.ts";
import { loadCheckpoint, saveCheckpoint } from "../../src/train/checkpoint.ts";
import { TrainingRun } from "../../src/train/run.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { feed, spreadWeights } from "../support/language.ts";
import { linearAttention, safetensors, sample } from "../support/open.ts";
import { torchFile } from "../support/torch.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const rounded = (values: Float32Array) => widenHalf(narrowHalf(values));
const halfFile = (state: StateDict) =>
  writeSafetensors([...state].map(([name, { shape, values }]) => [name, { shape, data: values, dtype: "F16" }]));

test.each(["rwkv4", "rwkv5.2", "rwkv6", "rwkv7", "gpt2", "mamba"])(
  "%s: matrices are those of the file, rounded, from F32 and from F16",
  async (kind) => {
    const { live } = device.stats.memory;
    const made = await sample(device, kind);
    const torch = [...made.state].map(
      ([name, { shape, values }]) => [name, { shape, data: narrowHalf(values), storage: "HalfStorage" }] as const,
    );
    const files = [
      { exact: true, bytes: safetensors(made.state) },
      { exact: false, bytes: halfFile(made.state) },
      { exact: false, bytes: torchFile(new Map(torch)) },
      ...(kind === "rwkv7" ? [{ exact: false, bytes: halfFile(linearAttention(made.state)) }] : []),
    ];
    for (const { bytes, exact } of files) {
      const { model } = await openModel(device, bytes, { weights: "f16", ...(kind === "gpt2" && { heads: 2 }) });
      const halves = new Set([...model.namedParameters()].flatMap(([name, { half }]) => (half ? [name] : [])));
      expect(halves.size).toBeGreaterThan(5);
      for (const [name, { values }] of await model.stateDict()) {
        const file = made.state.get(name)?.values as Float32Array;
        expect(values).toEqual(exact && !halves.has(name) ? file : rounded(file));
      }
      model.dispose();
    }
    expect(device.stats.memory.live).toBe(live);
  },
);

/** Large enough that matrices are nearly all of it. */
const config = modelKind("rwkv4").sized({ vocabSize: 256, width: 64, numLayers: 2 });

test("half the memory, never more on the way, and the logits of the f32 model within 1%", async () => {
  const made = createModel(device, config);
  spreadWeights(made);
  const state = await made.stateDict();
  made.dispose();
  const ids = Int32Array.from({ length: 9 }, (_, t) => (5 * t + (t % 3)) % 256);
  const open = async (bytes: Uint8Array<ArrayBuffer>, options: OpenModelOptions) => {
    const { live } = device.stats.memory;
    device.pool.resetPeak();
    const { model } = await openModel(device, bytes, options);
    const { live: now, peak } = device.stats.memory;
    const { values } = await feed(model, ids, [ids.length]);
    model.dispose();
    return { taken: now - live, most: peak - live, values };
  };
  const full = await open(safetensors(state), {});
  for (const file of [safetensors(state), halfFile(state)]) {
    const half = await open(file, { weights: "f16" });
    expect(half.taken).toBeLessThan(0.56 * full.taken);
    expect(half.most).toBe(half.taken);
    const largest = full.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expectClose(half.values, full.values, { atol: 0.01 * largest, rtol: 0, what: "the logits" });
  }
});

test("a checkpoint of halves has them as F16 and comes back bit for bit; it cannot be trained", async () => {
  const tokenizer = new ByteTokenizer();
  const made = createModel(device, config);
  const bytes = await saveCheckpoint(made, tokenizer);
  made.dispose();
  const { live } = device.stats.memory;
  const { model } = loadCheckpoint(device, bytes, { weights: "f16" });
  const saved = await saveCheckpoint(model, tokenizer);
  expect(saved.length).toBeLessThan(0.56 * bytes.length);
  expect(parseSafetensors(saved).tensors.get("emb.weight")?.dtype).toBe("F16");
  const again = loadCheckpoint(device, saved);
  expect(await again.model.stateDict()).toEqual(await model.stateDict());
  again.model.dispose();

  const text = await encodeSource("the rain in spain stays mainly in the plain. ".repeat(20), "bytes");
  const before = device.stats.memory.live;
  expect(() => new TrainingRun(model, text, { batchSize: 2, seqLength: 8 })).toThrow(
    "optimizer: the tensor [256, 64] is stored as f16, which gets no gradient; train a model that was opened or made with f32 weights",
  );
  expect(device.stats.memory.live).toBe(before);
  model.dispose();
  expect(device.stats.memory.live).toBe(live);
});
