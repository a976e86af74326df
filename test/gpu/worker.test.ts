/** A model behind a channel: the same in this thread as in a worker of a page. */
import { afterEach, describe, expect, test } from "vitest";
import { DeviceLostError, DisposedError, FileError, GpuUnavailableError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { Progress } from "../../src/io/reader.ts";
import { readCheckpoint } from "../../src/train/checkpoint.ts";
import { connect, type RemoteModel } from "../../src/worker/connect.ts";
import { serve } from "../../src/worker/serve.ts";
import { getGpu } from "../support/device.ts";
import { safetensors, sample } from "../support/open.ts";

const TEXT = "the rain in spain stays mainly in the plain. ".repeat(40);
const LSTM = { kind: "lstm", width: 32, numLayers: 1, text: TEXT, seed: 1 };
const SETTINGS = { batchSize: 4, seqLength: 16, steps: 40, lr: 1e-2 };

const open: RemoteModel[] = [];
afterEach(() => {
  for (const model of open.splice(0)) model.dispose();
});

/** A served model in this thread, and the GPU devices that it opened. */
async function connectHere() {
  const { port1, port2 } = new MessageChannel();
  const devices: GPUDevice[] = [];
  const real = await getGpu();
  const requestAdapter = async () => {
    const adapter = await real.requestAdapter();
    if (!adapter) return null;
    return new Proxy(adapter, {
      get(target, key) {
        const value = Reflect.get(target, key);
        if (key === "requestDevice")
          return async (descriptor: GPUDeviceDescriptor) => {
            const device = await target.requestDevice(descriptor);
            devices.push(device);
            return device;
          };
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
  serve({ port: port2, gpu: { requestAdapter } as GPU, keepEveryMs: 50 });
  const lost: DeviceLostError[] = [];
  const model = await connect(port1, { onLost: (error) => lost.push(error) });
  open.push(model);
  return { model, devices, lost };
}

/** An RWKV of 19 tokens, as a file of another program. */
async function rwkvFile(): Promise<Uint8Array<ArrayBuffer>> {
  const device = await openDevice({ gpu: await getGpu() });
  const { state } = await sample(device, "rwkv4");
  device.destroy();
  return safetensors(state);
}

async function textOf(stream: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const piece of stream) text += piece;
  return text;
}

describe("a served model", () => {
  test("is made, trained with reports, writes, and saves what another opens", async () => {
    const { model } = await connectHere();
    expect(model.device).toMatchObject({ software: expect.any(Boolean), vendor: expect.any(String) });
    const made = await model.create(LSTM);
    expect(made).toMatchObject({ config: { kind: "lstm", hiddenSize: 32 }, step: 0, resumable: false });
    const steps: number[] = [];
    const { step, heldOut } = await model.train(TEXT, {
      ...SETTINGS,
      onReport: (report) => steps.push(...report.records.map(({ loss }) => loss)),
    });
    expect(step).toBe(40);
    expect(steps).toHaveLength(40);
    expect(steps.at(-1)).toBeLessThan((steps[0] as number) * 0.8);
    expect(heldOut).toBeLessThan(steps[0] as number);
    const options = { temperature: 0, maxTokens: 20 };
    const written = await textOf(model.generate("the rain", options));
    expect(written).toHaveLength(20);

    const bytes = await model.save();
    const { model: other } = await connectHere();
    const report = await other.open(new Blob([bytes]));
    expect(report).toEqual({ ...made, step: 40, resumable: true });
    expect(await textOf(other.generate("the rain", options))).toBe(written);
  });

  test("calls on the same text go on, and so does a saved run when asked to", async () => {
    const { model } = await connectHere();
    await model.create(LSTM);
    await model.train(TEXT, SETTINGS);
    const whole = await model.save();
    await model.create(LSTM);
    expect((await model.train(TEXT, { ...SETTINGS, count: 15 })).step).toBe(15);
    await model.open(await model.save());
    expect((await model.train(new Blob([TEXT]), { resume: true, count: 10 })).step).toBe(25);
    const continued: number[] = [];
    const onReport = ({ step }: { step: number }) => continued.push(step);
    expect((await model.train(TEXT, { count: 15, onReport })).step).toBe(40);
    expect(continued.at(-1)).toBe(40);
    expect(readCheckpoint(await model.save()).parameters).toEqual(readCheckpoint(whole).parameters);
    expect((await model.train(TEXT, { ...SETTINGS, count: 1 })).step).toBe(1);
    await model.create(LSTM);
    await expect(model.train(TEXT, { ...SETTINGS, resume: true })).rejects.toThrow("no run to resume");
  });

  test("an abort ends training after its step, and text after its piece", async () => {
    const { model } = await connectHere();
    await model.create(LSTM);
    const abort = new AbortController();
    const trained = await model.train(TEXT, {
      ...SETTINGS,
      steps: 100_000,
      signal: abort.signal,
      onReport: () => abort.abort(),
    });
    expect(trained.step).toBeLessThan(100_000);
    expect(trained.heldOut).toBeNull();
    const stop = new AbortController();
    let pieces = 0;
    for await (const _ of model.generate("the", { maxTokens: 10_000, signal: stop.signal })) {
      if (++pieces === 5) stop.abort();
    }
    expect(pieces).toBe(5);
    for await (const _ of model.generate("the", { maxTokens: 10_000 })) if (++pieces === 8) break;
    expect(pieces).toBe(8);
  });

  test("a session goes on over prompts and branches", async () => {
    const { model } = await connectHere();
    await model.create(LSTM);
    const session = await model.session();
    const options = { temperature: 0, maxTokens: 4 };
    await textOf(session.generate("the ", options));
    const branch = await session.branch();
    const size = await session.measure();
    expect(size).toEqual({ position: 8, byteLength: expect.any(Number) });
    expect(await textOf(branch.generate("rain", options))).toBe(await textOf(session.generate("rain", options)));
    expect(await session.measure()).toEqual({ ...size, position: 16 });
    await branch.close();
    await expect(branch.measure()).rejects.toThrow(DisposedError);
    const saved = await session.save();
    const again = await model.session(saved);
    expect(await textOf(again.generate("rain", options))).toBe(await textOf(session.generate("rain", options)));
    await model.create({ ...LSTM, seed: 2 });
    await expect(model.session(saved)).rejects.toThrow("saved from another lstm");
  });

  test("a model of another program is opened with progress and with its tokenizer, or not, or the opening cancelled", async () => {
    const { model } = await connectHere();
    const file = await rwkvFile();
    const address = URL.createObjectURL(new Blob([file]));
    const vocabulary = Array.from({ length: 18 }, (_, i) => `${i + 1} '${String.fromCharCode(97 + i)}' 1`).join("\n");
    const seen: number[] = [];
    const options = { tokenizer: new Blob([vocabulary]), onProgress: ({ loaded }: Progress) => seen.push(loaded) };
    expect(await model.open(new URL(address), options)).toMatchObject({
      config: { kind: "rwkv4", vocabSize: 19 },
      readsText: true,
      resumable: false,
    });
    expect(seen).toEqual([0, file.length]);
    const greedy = { temperature: 0, maxTokens: 8 };
    const written = await textOf(model.generate("abc", greedy));
    expect(written).toMatch(/^[a-r]{0,8}$/);
    const { model: other } = await connectHere();
    await other.open(await model.save());
    expect(await textOf(other.generate("abc", greedy))).toBe(written);

    await expect(model.open(address, { signal: AbortSignal.abort() })).rejects.toMatchObject({ name: "AbortError" });
    await expect(model.open(address, { tokenizer: "bytes" })).rejects.toMatchObject({ code: "vocabulary" });
    expect(await textOf(model.generate("abc", greedy))).toBe(written);
    expect(await model.open(file)).toMatchObject({ readsText: false });
    await expect(textOf(model.generate("abc", greedy))).rejects.toThrow(
      "generate: the model has no tokenizer; open it",
    );
    await expect(model.save()).rejects.toThrow(ValueError);
  });

  test("weights as halves write, and do not train", async () => {
    const { model } = await connectHere();
    await model.create(LSTM);
    await model.open(await model.save(), { weights: "f16" });
    expect(await textOf(model.generate("the", { maxTokens: 8 }))).toHaveLength(8);
    await expect(model.train(TEXT, SETTINGS)).rejects.toThrow("is stored as f16, which gets no gradient");
  });

  test("errors keep their classes, and what was there stays", async () => {
    const { model } = await connectHere();
    await expect(textOf(model.generate("a"))).rejects.toThrow("create or open one first");
    await model.create(LSTM);
    const before = await textOf(model.generate("the", { temperature: 0, maxTokens: 8 }));
    await expect(model.open(new TextEncoder().encode("<!doctype html>"))).rejects.toThrow(FileError);
    await expect(model.create({ ...LSTM, kind: "perceptron" })).rejects.toThrow(ValueError);
    await expect(model.train("ab", SETTINGS)).rejects.toThrow(ValueError);
    await expect(textOf(model.generate("日"))).rejects.toThrow(ValueError);
    expect(await textOf(model.generate("the", { temperature: 0, maxTokens: 8 }))).toBe(before);
    const training = model.train(TEXT, SETTINGS);
    await expect(model.create(LSTM)).rejects.toThrow("the worker is busy (train)");
    await training;
    for await (const _ of model.generate("the")) {
      await expect(model.train(TEXT, SETTINGS)).rejects.toThrow("it generates");
      break;
    }
    model.dispose();
    await expect(model.save()).rejects.toThrow(DisposedError);
  });

  test("a lost device is told, and the next call goes on from what was kept", async () => {
    const { model, devices, lost } = await connectHere();
    await model.create(LSTM);
    const options = { temperature: 0, maxTokens: 8 };
    await model.train(TEXT, { ...SETTINGS, count: 10 });
    const written = await textOf(model.generate("the", options));
    const session = await model.session();
    const onReport = () => devices[0]?.destroy();
    await expect(model.train(TEXT, { ...SETTINGS, count: 10_000, onReport })).rejects.toThrow(DeviceLostError);
    await expect.poll(() => lost.length).toBe(1);
    await expect(session.measure()).rejects.toThrow("lost device");
    expect(await textOf(model.generate("the", options))).toHaveLength(written.length);
    expect(devices).toHaveLength(2);
    expect((await model.train(TEXT, { ...SETTINGS, count: 1 })).step).toBeGreaterThanOrEqual(11);
  });

  test("no adapter is the engine's own error", async () => {
    const { port1, port2 } = new MessageChannel();
    serve({ port: port2, gpu: { requestAdapter: async () => null } as unknown as GPU });
    await expect(connect(port1)).rejects.toThrow(GpuUnavailableError);
  });
});

describe.runIf(typeof Worker === "function" && typeof document === "object")("in a worker of a page", () => {
  const start = () => new Worker(new URL("../support/modelWorker.ts", import.meta.url), { type: "module" });

  test("it trains and writes while the page stays free", async () => {
    const model = await connect(start());
    open.push(model);
    await model.create(LSTM);
    const { step } = await model.train(TEXT, { ...SETTINGS, count: 10 });
    expect(step).toBe(10);
    expect(await textOf(model.generate("the", { maxTokens: 8 }))).toHaveLength(8);
  });

  test("it opens an address, and the page can cancel that", async () => {
    const model = await connect(start());
    open.push(model);
    const address = URL.createObjectURL(new Blob([await rwkvFile()]));
    const progress: Progress[] = [];
    const onProgress = (one: Progress) => progress.push(one);
    expect(await model.open(address, { onProgress })).toMatchObject({ config: { kind: "rwkv4" }, readsText: false });
    expect(progress.at(-1)?.loaded).toBe(progress.at(-1)?.total);
    // Of 32 MB, so that the page hears of the first bytes long before the last.
    const state = new Map([["blocks.0.att.time_decay", { shape: [2 ** 23], values: new Float32Array(2 ** 23) }]]);
    for (const name of ["emb.weight", "blocks.0.att.time_first", "blocks.0.att.key.weight", "blocks.0.ffn.key.weight"])
      state.set(name, { shape: [1, 1], values: new Float32Array(1) });
    const large = URL.createObjectURL(new Blob([safetensors(state)]));
    const abort = new AbortController();
    const opening = model.open(large, { signal: abort.signal, onProgress: () => abort.abort() });
    await expect(opening).rejects.toMatchObject({ name: "AbortError" });
    URL.revokeObjectURL(large);
  });

  test("a script that does not load is told", async () => {
    const worker = new Worker(URL.createObjectURL(new Blob(["throw new Error('no such luck')"])), { type: "module" });
    await expect(connect(worker)).rejects.toThrow("the worker failed");
  });
});

test("two models in one process share nothing", async () => {
  const device = await openDevice({ gpu: await getGpu() });
  const { model } = await connectHere();
  await model.create(LSTM);
  model.dispose();
  device.check();
  device.destroy();
});
