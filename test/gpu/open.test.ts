import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { Progress } from "../../src/io/reader.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import { type OpenModelOptions, openModel } from "../../src/models/open.ts";
import { createModel } from "../../src/models/registry.ts";
import { RwkvLanguageModel } from "../../src/models/rwkv/model.ts";
import { narrowHalf, widenHalf } from "../../src/tensor/half.ts";
import { Random } from "../../src/tensor/philox.ts";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { CharTokenizer } from "../../src/text/characters.ts";
import { saveCheckpoint } from "../../src/train/checkpoint.ts";
import { getGpu } from "../support/device.ts";
import { linearAttention, renamed, type Sample, safetensors, sample } from "../support/open.ts";
import { streamOf } from "../support/stream.ts";
import { torchFile } from "../support/torch.ts";

let device: Device;
let live: number;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  live = device.stats.memory.live;
});
afterAll(() => device.destroy());

/** As Transformers' RWKV calls them. */
const huggingFace = (name: string) =>
  (name.startsWith("head.") ? name : `rwkv.${name}`)
    .replace("rwkv.emb.", "rwkv.embeddings.")
    .replace(".ln0.", ".pre_ln.")
    .replace(".att.", ".attention.")
    .replace(".ffn.", ".feed_forward.")
    .replace(
      /time_mix_([kvrg])$/,
      (_, one: "k") => `time_mix_${{ k: "key", v: "value", r: "receptance", g: "gate" }[one]}`,
    );

async function expectOpens(
  bytes: Uint8Array<ArrayBuffer>,
  format: string,
  made: Sample,
  options: OpenModelOptions = {},
) {
  const drawn = vi.spyOn(Random.prototype, "word");
  const opened = await openModel(device, bytes, options);
  // Initial values, which take longer than loading does, would be overwritten.
  expect(drawn).not.toHaveBeenCalled();
  drawn.mockRestore();
  expect(opened.format).toBe(format);
  expect(opened.model.config).toEqual(made.config);
  expect(await opened.model.stateDict()).toEqual(made.state);
  opened.model.dispose();
}

describe("every file that is known gives its model, bit for bit", () => {
  test.each(["4", "5.1", "5.2", "6"])(
    "RWKV-%s under its own names, wrapped, and under those of Hugging Face",
    async (version) => {
      const made = await sample(device, `rwkv${version}`);
      await expectOpens(safetensors(made.state), "rwkv", made);
      await expectOpens(safetensors(renamed(made.state, (name) => `model.${name}`)), "rwkv", made);
      await expectOpens(safetensors(renamed(made.state, huggingFace)), "rwkv", made);
    },
  );

  test("RWKV-7 under its own names and under those of flash-linear-attention", async () => {
    const made = await sample(device, "rwkv7");
    await expectOpens(safetensors(made.state), "rwkv", made);
    await expectOpens(safetensors(linearAttention(made.state)), "rwkv", made);
  });

  test("GPT-2 with and without its prefixes", async () => {
    const made = await sample(device, "gpt2");
    for (const rename of [
      (name: string) => name,
      (name: string) => name.slice("transformer.".length),
      (name: string) => `model.${name}`,
    ])
      await expectOpens(safetensors(renamed(made.state, rename)), "gpt2", made, { heads: 2 });
  });

  test("Mamba under its own names and Transformers'", async () => {
    const made = await sample(device, "mamba");
    await expectOpens(safetensors(made.state), "mamba", made);
    await expectOpens(
      safetensors(renamed(made.state, (name) => name.replace(".embedding.", ".embeddings."))),
      "mamba",
      made,
    );
  });

  test("a .pth, alone or in a training program's file beside its optimizer", async () => {
    const made = await sample(device, "rwkv6");
    const tensors = new Map([...made.state].map(([name, { shape, values }]) => [name, { shape, data: values }]));
    await expectOpens(torchFile(tensors), "rwkv", made);
    await expectOpens(torchFile(tensors, { wrap: "state_dict", wide: true }), "rwkv", made);
    const moments = new Map([...tensors, ["optimizer.state.0.exp_avg", { shape: [1], data: new Float32Array(1) }]]);
    await expectOpens(torchFile(moments), "rwkv", made);
  });

  test("half precision, widened exactly", async () => {
    const { config, state } = await sample(device, "rwkv4");
    const halves = [...state].map(([name, { shape, values }]) => [name, { shape, data: narrowHalf(values) }] as const);
    const pth = torchFile(new Map(halves.map(([name, tensor]) => [name, { ...tensor, storage: "HalfStorage" }])));
    const file = writeSafetensors(
      [...state].map(([name, { shape, values }]) => [name, { shape, data: values, dtype: "F16" }]),
    );
    const rounded = halves.map(([name, { shape, data }]) => [name, { shape, values: widenHalf(data) }] as const);
    for (const bytes of [pth, file]) await expectOpens(bytes, "rwkv", { config, state: new Map(rounded) });
  });

  test("a checkpoint of this engine, with its tokenizer, from bytes, a Blob, an answer and an address", async () => {
    const tokenizer = new CharTokenizer("abcdefghijklmnopqrs");
    const config = { kind: "lstm", vocabSize: 19, embeddingSize: 8, hiddenSize: 12, numLayers: 1, dropout: 0 };
    const model = createModel(device, config);
    const bytes = await saveCheckpoint(model, tokenizer);
    const state = await model.stateDict();
    model.dispose();
    const address = URL.createObjectURL(new Blob([bytes]));
    for (const source of [bytes, new Blob([bytes]), streamOf(bytes, { chunk: 100 }), address]) {
      const seen: Progress[] = [];
      const opened = await openModel(device, source, { onProgress: (progress) => seen.push(progress) });
      expect(opened).toMatchObject({ kind: "lstm", format: "ostinato", run: null });
      expect(opened.tokenizer?.encode("sad")).toEqual(Int32Array.of(18, 0, 3));
      expect(seen.at(-1)).toEqual({ loaded: bytes.length, total: bytes.length });
      expect(await opened.model.stateDict()).toEqual(state);
      opened.model.dispose();
    }
  });

  test("a model of 256 tokens reads bytes, unless it is told otherwise", async () => {
    const model = new RwkvLanguageModel(device, { kind: "rwkv4", vocabSize: 256, channels: 8, numLayers: 1 });
    const bytes = safetensors(await model.stateDict());
    model.dispose();
    const opened = await openModel(device, bytes);
    expect(opened.tokenizer).toBeInstanceOf(ByteTokenizer);
    opened.model.dispose();
    const tokenizer = new CharTokenizer("abc");
    const told = await openModel(device, bytes, { tokenizer });
    expect(told.tokenizer).toBe(tokenizer);
    told.model.dispose();
  });
});

test("nothing of all this stays on the device", () => {
  expect(device.stats.memory.live).toBe(live);
});
