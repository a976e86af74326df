import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { FileError, LimitError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { Progress } from "../../src/io/reader.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import { type OpenModelOptions, openModel } from "../../src/models/open.ts";
import type { StateDict } from "../../src/nn/module.ts";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { getGpu } from "../support/device.ts";
import { renamed, safetensors, sample } from "../support/open.ts";
import { type StreamOptions, streamOf } from "../support/stream.ts";
import { torchFile, zipOf } from "../support/torch.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});
afterAll(() => device.destroy());

describe("files that will not do are refused in one sentence, and nothing stays on the device", () => {
  /** Fails with this code, having read no more of the file than `atMost` bytes. */
  async function expectRefused(
    bytes: Uint8Array<ArrayBuffer>,
    code: string,
    message: RegExp,
    options: OpenModelOptions & { atMost?: number; stream?: StreamOptions } = {},
  ) {
    const before = device.stats.memory.live;
    let loaded = 0;
    const onProgress = (progress: Progress) => {
      loaded = progress.loaded;
    };
    const source = streamOf(bytes, { chunk: 2 ** 17, ...options.stream });
    const error = await openModel(device, source, { ...options, onProgress }).then(
      () => null,
      (error: unknown) => error,
    );
    expect(error).toBeInstanceOf(FileError);
    expect(error).toMatchObject({ code, message: expect.stringMatching(message) });
    expect((error as Error).message.replace(/\.(?=\S)/g, "")).not.toMatch(/\.\s/);
    expect(loaded).toBeLessThanOrEqual(options.atMost ?? bytes.length);
    expect(device.stats.memory.live).toBe(before);
  }

  const text = (value: string) => new TextEncoder().encode(value);
  const without = (state: StateDict, pattern: RegExp) => new Map([...state].filter(([name]) => !pattern.test(name)));
  /** So large that the rest of the file is not read for its header. */
  const long = (state: StateDict): StateDict =>
    new Map([...state, ["zz.weight", { shape: [2 ** 18], values: new Float32Array(2 ** 18) }]]);
  const atMost = 2 ** 18;
  const torchOf = (state: StateDict) =>
    torchFile(new Map([...state].map(([name, { shape, values }]) => [name, { shape, data: values }])));

  test("unknown kinds of files and models", async () => {
    await expectRefused(text("GGUF\x03\0\0\0and so on"), "unknown-file", /begins with "GGUF....", as no file does/);
    await expectRefused(text(""), "unknown-file", /is empty/);
    await expectRefused(text("<html>"), "html-page", /is a web page instead of a file/);
    const llama = new Map([["model.layers.0.self_attn.q_proj.weight", { shape: [1], values: new Float32Array(1) }]]);
    await expectRefused(
      safetensors(long(llama)),
      "unknown-model",
      /"layers.0.self_attn.q_proj.weight".*opens its own checkpoints, RWKV 4 to 7, GPT-2 and Mamba$/,
      { atMost },
    );
    await expectRefused(safetensors(new Map()), "unknown-model", /\(none\)/);
  });

  test("RWKV of an unknown version or with parts missing, GPT-2 with a missing layer", async () => {
    const { state } = await sample(device, "rwkv7");
    await expectRefused(safetensors(long(without(state, /att\./))), "rwkv-version", /of no version that/, { atMost });
    await expectRefused(safetensors(without(state, /1\.att\.g2/)), "state-dict", /missing blocks.1.att.g2/);
    await expectRefused(safetensors(without(state, /emb/)), "rwkv-checkpoint", /has no emb.weight/);
    const gpt2 = (await sample(device, "gpt2")).state;
    const gap = without(gpt2, /h\.0\.(ln|mlp)|h\.0\.attn\.c_proj|h\.0\.attn\.c_attn\.bias/);
    await expectRefused(safetensors(gap), "state-dict", /missing transformer.h.0/, { heads: 2 });
    const third = renamed(without(gpt2, /h\.0/), (name) => name.replace("h.1", "h.2"));
    const whole = new Map([...gpt2, ...third]);
    await expectRefused(safetensors(long(without(whole, /h\.1/))), "gpt2-layers", /lacks layer 1 of 3/, {
      heads: 2,
      atMost,
    });
    const twice = new Map([...gpt2, ["model.transformer.wpe.weight", gpt2.get("transformer.wpe.weight")!]]);
    await expectRefused(safetensors(twice), "duplicate-name", /two tensors that are transformer.wpe.weight/, {
      heads: 2,
    });
  });

  test("a vocabulary that does not match the head", async () => {
    const { state } = await sample(device, "rwkv4");
    const message = /the tokenizer has 256 tokens, but the file's rwkv4 has 19; use the tokenizer/;
    const tokenizer = new ByteTokenizer();
    await expectRefused(safetensors(long(state)), "vocabulary", message, { atMost, tokenizer });
    await expectRefused(torchOf(long(state)), "vocabulary", message, { atMost, tokenizer });
  });

  test("downloads that are truncated or aborted", async () => {
    const bytes = safetensors((await sample(device, "rwkv4")).state);
    const { length } = bytes;
    const cut = bytes.slice(0, length - 40);
    await expectRefused(cut, "truncated", new RegExp(`ended after ${length - 40} of ${length} bytes`));
    await expectRefused(bytes.slice(0, 700), "header-past-end", /truncated/);
    await expectRefused(bytes, "truncated", /broke off after 512/, { stream: { chunk: 256, breakAt: 512 } });
    const pth = torchOf((await sample(device, "rwkv4")).state);
    await expectRefused(pth.slice(0, -30), "zip-end", /truncated/);
    const abort = new AbortController();
    const opening = openModel(device, streamOf(bytes, { chunk: 256, stallAt: 1024 }), {
      signal: abort.signal,
      onProgress: () => setTimeout(() => abort.abort(), 5),
    });
    await expect(opening).rejects.toMatchObject({ name: "AbortError" });
  });

  test("pickles that would run code, and PyTorch's old formats", async () => {
    const evil = zipOf([["archive/data.pkl", "\x80\x02cposix\nsystem\nX\x02\0\0\0ls\x85R."]]);
    await expectRefused(evil, "pickle-global", /wants "posix.system"/);
    const data = ["archive/data/0", new Uint8Array(2 ** 20)] as const;
    await expectRefused(zipOf([["archive/data.pkl", "\x80\x02)\x81."], data]), "pickle-opcode", /NEWOBJ/, { atMost });
    const legacy = Uint8Array.of(0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e);
    await expectRefused(legacy, "pytorch-legacy", /before PyTorch 1.6; save it again/);
  });

  test("damaged metadata of a checkpoint", async () => {
    const tensors = [["a", { shape: [1], data: new Float32Array(1) }]] as const;
    await expectRefused(writeSafetensors(tensors, { ostinato: "{" }), "checkpoint-metadata", /file is damaged/);
    const config = { kind: "lstm", vocabSize: 19, embeddingSize: 8, hiddenSize: 12, numLayers: 1, dropout: 0 };
    for (const tokenizer of [{ kind: "runes" }, { kind: "bytes" }]) {
      const metadata = { ostinato: JSON.stringify({ config, tokenizer, training: null }) };
      const code = tokenizer.kind === "bytes" ? "vocabulary" : "checkpoint-metadata";
      await expectRefused(writeSafetensors(tensors, metadata), code, /tokenizer/);
    }
  });

  test("a table that is too large for the device, before it is downloaded", async () => {
    const adapter = (await (await getGpu()).requestAdapter()) as GPUAdapter;
    const gpu = await adapter.requestDevice();
    const small = await openDevice({ device: gpu });
    const shape = [65536, 1024];
    const header = text(
      JSON.stringify({
        "emb.weight": { dtype: "F16", shape, data_offsets: [0, 2 * 2 ** 26] },
        "blocks.0.att.time_decay": { dtype: "F16", shape: [1], data_offsets: [2 ** 27, 2 ** 27 + 2] },
        "blocks.0.att.time_first": { dtype: "F16", shape: [1], data_offsets: [2 ** 27 + 2, 2 ** 27 + 4] },
        "blocks.0.att.key.weight": { dtype: "F16", shape: [1, 1], data_offsets: [2 ** 27 + 4, 2 ** 27 + 6] },
        "blocks.0.ffn.key.weight": { dtype: "F16", shape: [4, 1], data_offsets: [2 ** 27 + 6, 2 ** 27 + 14] },
      }).padEnd(1024),
    );
    const file = new Uint8Array(8 + header.length);
    new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
    file.set(header, 8);
    const before = small.stats.memory.live;
    const open = (stream: StreamOptions, options: OpenModelOptions = {}) =>
      openModel(small, streamOf(file, { chunk: file.length, ...stream }), options).catch((error: unknown) => error);
    const error = await open({ stallAt: file.length });
    expect(error).toBeInstanceOf(LimitError);
    expect((error as Error).message).toBe(
      'openModel: emb.weight [65536, 1024] takes 268435456 bytes as f32, and this device binds at most 134217728 at once (maxStorageBufferBindingSize); use weights: "f16", a smaller model or another device',
    );
    // As halves it just fits, so that the rest is asked for.
    expect(await open({}, { weights: "f16" })).toMatchObject({ code: "truncated" });
    expect(small.stats.memory.live).toBe(before);
    gpu.destroy();
  });
});
