/** The demo's logic apart from page, worker and device. */
import { expect, test } from "vitest";
import { Curve } from "../../demo/curve.ts";
import { keyed, nearest, nearestIndex } from "../../demo/nearest.ts";
import type { Point, Settings } from "../../demo/protocol.ts";
import { qualityOf } from "../../demo/quality.ts";
import { brief, bytes, duration, milliseconds, rate, short, squeezed } from "../../demo/ui/format.ts";
import { modelToken } from "../../demo/ui/theme.ts";
import { plain } from "../../demo/worker/failure.ts";
import { addressOf, nameOf } from "../../demo/worker/guest.ts";
import { nextMilestone } from "../../demo/worker/milestones.ts";
import { configOf, modelChoices } from "../../demo/worker/models.ts";
import { deviceName } from "../../demo/worker/name.ts";
import { planRun } from "../../demo/worker/plan.ts";
import { checkSaved, holdsRun } from "../../demo/worker/saved.ts";
import { Story } from "../../demo/worker/story.ts";
import { textChoices } from "../../demo/worker/texts.ts";
import { Turns } from "../../demo/worker/turns.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import { modelKind, modelKinds } from "../../src/models/registry.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";

const point = (step: number): Point => ({
  step,
  tokens: step * 128,
  seconds: step / 20,
  loss: 4 - step * 1e-4,
  gradNorm: 1,
  learningRate: 0.01,
  tokensPerSecond: 2560,
  memoryBytes: 1,
});
const points = (from: number, to: number): Point[] => Array.from({ length: to - from + 1 }, (_, i) => point(from + i));

test("a long curve is thinned evenly and stays in order", () => {
  const curve = new Curve();
  for (let step = 1; step <= 30_000; step += 50) curve.add(points(step, step + 49));
  const steps = curve.points.map(({ step }) => step);
  expect(steps.length).toBeLessThanOrEqual(2000);
  expect(steps.length).toBeGreaterThan(900);
  const gaps = new Set(steps.slice(1).map((step, i) => step - (steps[i] as number)));
  expect([...gaps]).toEqual([16]);
  expect(curve.pace).toBeCloseTo(20, 6);
});

test("a chart is read at the nearest place, and gone along by keys", () => {
  const x = [1, 2, 4, 8];
  expect([0, 1.4, 1.6, 3, 3.1, 6.1, 99].map((at) => nearestIndex(x, at))).toEqual([0, 0, 1, 1, 2, 3, 3]);
  expect(nearest(["a", "bb", "dddd"], ({ length }) => length, 3.2)).toBe("dddd");
  expect(nearest([], Number, 1)).toBeUndefined();
  expect(["Home", "End", "ArrowLeft", "ArrowRight", "Enter"].map((key) => keyed(key, x, 4))).toEqual([
    0,
    3,
    1,
    3,
    null,
  ]);
  // In at either side, and never out.
  expect(["ArrowLeft", "ArrowRight"].map((key) => keyed(key, x, null))).toEqual([3, 0]);
  expect([keyed("ArrowLeft", x, 1), keyed("ArrowRight", x, 8), keyed("Home", [], null)]).toEqual([0, 3, null]);
});

test("a curve rewinds to a checkpoint and goes on", () => {
  const curve = new Curve();
  curve.add(points(1, 100));
  curve.addHeldOut(point(50));
  curve.addHeldOut(point(100));
  curve.rewind(60);
  expect(curve.last?.step).toBe(60);
  expect(curve.heldOut).toHaveLength(1);
  const [loss, answers] = ["names", "sort"].map((text) => qualityOf({ models: [], texts: textChoices }, text));
  expect(curve.best(loss)).toBe(point(50).loss);
  expect(curve.best(answers)).toBeNaN();
  for (const accuracy of [0.5, 0.25]) curve.addHeldOut({ ...point(70), accuracy });
  expect(curve.best(answers)).toBe(0.5);
});

test("a story survives its checkpoint, thinned, with its last point", () => {
  const story = new Story();
  story.add(points(1, 3001));
  story.samples.push({ step: 3001, loss: 3, text: "the whale" });
  const history = JSON.parse(JSON.stringify(story.history()));
  expect(history.points.length).toBeLessThanOrEqual(600);
  const again = Story.from(history);
  expect(again.now).toEqual({ step: 3001, tokens: 3001 * 128, seconds: 3001 / 20 });
  expect(again.samples).toEqual(story.samples);
});

test("milestones come often at first, then at even distances, and end with the run", () => {
  const milestones = [0];
  while ((milestones.at(-1) as number) < 2000) milestones.push(nextMilestone(milestones.at(-1) as number, 2000));
  expect(milestones.slice(0, 7)).toEqual([0, 10, 20, 40, 80, 100, 150]);
  expect(milestones.at(-1)).toBe(2000);
  expect(nextMilestone(37, 40)).toBe(40);
  expect(nextMilestone(13, 2000)).toBe(20);
});

test("turns come one after the other, also after one that failed", async () => {
  const turns = new Turns();
  const log: string[] = [];
  const work = (name: string, ms: number) => async () => {
    log.push(`${name} begins`);
    await new Promise((resolve) => setTimeout(resolve, ms));
    log.push(`${name} ends`);
    if (name === "bad") throw new Error(name);
    return name;
  };
  const results = await Promise.allSettled([
    turns.take(work("slow", 20)),
    turns.take(work("bad", 0)),
    turns.take(work("last", 0)),
  ]);
  expect(log).toEqual(["slow begins", "slow ends", "bad begins", "bad ends", "last begins", "last ends"]);
  expect(results.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
});

test("long work gives way: it ends early for an urgent turn, and is skipped while one waits", async () => {
  const turns = new Turns();
  const log: string[] = [];
  const long = turns.yielding(
    (signal) =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => {
          log.push("gives way");
          resolve();
        });
      }),
  );
  await Promise.resolve();
  const urgent = turns.interrupt(async () => log.push("urgent"));
  const later = turns.interrupt(async () => log.push("later"));
  await Promise.all([long, urgent, later]);
  expect(log).toEqual(["gives way", "urgent", "later"]);
  const waiting = turns.take(async () => {});
  const skipped = turns.yielding(async () => void log.push("not now"));
  const last = turns.interrupt(async () => log.push("last"));
  await Promise.all([waiting, skipped, last]);
  expect(log.slice(3)).toEqual(["last"]);
});

test("engine messages become sentences for visitors", () => {
  expect(plain("encode: the character is unknown; leave it out")).toBe("The character is unknown; leave it out.");
  expect(plain("Already a sentence: really.")).toBe("Already a sentence: really.");
  expect(plain("open: https://a.org/b ended early; load it again")).toBe("https://a.org/b ended early; load it again.");
  expect(plain("open: my.pth ended early; load it again")).toBe("my.pth ended early; load it again.");
});

test("what a browser shows of a file on Hugging Face leads to the file, which is called by its repository", () => {
  const shown = "https://huggingface.co/openai-community/gpt2/blob/main/model.safetensors";
  expect(addressOf(shown).href).toBe("https://huggingface.co/openai-community/gpt2/resolve/main/model.safetensors");
  expect(nameOf({ kind: "address", address: shown })).toBe("openai-community/gpt2, model.safetensors");
  expect(nameOf({ kind: "address", address: "https://a.org/b/rwkv.pth?raw=1" })).toBe("rwkv.pth");
  const files = ["tokenizer.json", "tale.safetensors"].map((name) => new File([], name));
  expect(nameOf({ kind: "files", files })).toBe("tale.safetensors");
});

test("devices have names that people know", () => {
  const info = (parts: Partial<GPUAdapterInfo>) => parts as GPUAdapterInfo;
  expect(deviceName(info({ vendor: "google", architecture: "swiftshader" }))).toBe("SwiftShader");
  expect(deviceName(info({ vendor: "nvidia", architecture: "ada-lovelace" }))).toBe("NVIDIA ada lovelace");
  expect(deviceName(info({ vendor: "apple", architecture: "metal-3", description: "Apple M2" }))).toBe("Apple M2");
  expect(deviceName(undefined)).toBe("GPU");
});

test("numbers read well", () => {
  expect([0.5, 12.34, 950, 12_345, 999_600, 1_240_000].map(brief)).toEqual([
    "0.50",
    "12.3",
    "950",
    "12.3 k",
    "1.00 M",
    "1.24 M",
  ]);
  expect([512, 3277, 1_500_000, 200 * 2 ** 20].map(bytes)).toEqual(["512 B", "3.2 KB", "1.4 MB", "200 MB"]);
  expect([8.4, 80, 3000, 7500].map(duration)).toEqual(["8 s", "1 min 20 s", "50 min", "2 h 5 min"]);
  expect([0.042, 4.25, 34.2, 1240].map(milliseconds)).toEqual(["0.042 ms", "4.3 ms", "34 ms", "1.2 s"]);
  expect([0.5, 500, 50_000, 1.5e6].map(short)).toEqual(["0.5", "500", "50 k", "1.5 M"]);
  expect(["a\n\nb", "a\n\n \n\n\nb", "a\nb"].map(squeezed)).toEqual(["a\n\nb", "a\n\nb", "a\nb"]);
  expect([0.002, 3.5e-5, 0].map(rate)).toEqual(["0.002", "3.5e-5", "0"]);
});

const settings = {
  model: "lstm",
  text: "names",
  layers: 1,
  width: 32,
  context: 64,
  options: { embeddingSize: 16 },
  batch: 8,
  sequence: 16,
  steps: 80,
  learningRate: 0.01,
  schedule: "cosine",
  clip: 1,
  seed: 1,
};
const history = { points: [point(1)], heldOut: [point(1)], samples: [{ step: 1, loss: 3, text: "Anna" }] };

test("a file's description of a run is checked field by field", () => {
  expect(checkSaved({ settings, history })).toEqual({ settings, history });
  for (const wrong of [
    null,
    "text",
    { settings },
    { settings: { ...settings, batch: 0 }, history },
    { settings: { ...settings, text: "elsewhere" }, history },
    { settings: { ...settings, learningRate: "high" }, history },
    { settings: { ...settings, options: { heads: "many" } }, history },
    { settings, history: { ...history, points: [{ step: 1 }] } },
    { settings, history: { ...history, samples: "none" } },
  ])
    expect(() => checkSaved(wrong), JSON.stringify(wrong)).toThrow(/no run of this page/);
});

test("a file that another program trained holds no run of this page, and can only be talked to", async () => {
  const file = (training: unknown) => new Blob([writeSafetensors([], { ostinato: JSON.stringify({ training }) })]);
  expect(await holdsRun(file({ settings: { settings, history } }))).toBe(true);
  expect(await holdsRun(file({ settings: { batchSize: 8, seqLength: 64, lr: 0.01 } }))).toBe(false);
  expect(await holdsRun(file(null))).toBe(false);
  expect(await holdsRun(new Blob(["not a checkpoint at all"]))).toBe(false);
});

const text = (characters: number) => ({
  text: "",
  ids: new Int32Array(characters),
  tokenizer: { vocabSize: 64 } as Tokenizer,
});
const limits = { maxStorageBufferBindingSize: 128 * 2 ** 20, maxBufferSize: 256 * 2 ** 20 };
const chosen = (model: string, more: Partial<Settings> = {}): Settings => ({
  ...{ model, options: {}, text: "names", width: 64, layers: 2, context: 64, batch: 16, sequence: 64, steps: 80 },
  ...{ learningRate: 0.01, schedule: "cosine", clip: 1, seed: 1 },
  ...more,
});

test("every kind of the registry is offered, coloured, and planned", () => {
  expect(modelChoices.map(({ id }) => id)).toEqual(modelKinds.map(({ kind }) => kind));
  for (const { id, options } of modelChoices) {
    expect(modelToken(id), id).not.toBe("--other");
    const plan = planRun(chosen(id), text(20_000), limits);
    expect(plan.obstacle, id).toBeNull();
    expect(plan.parameters, id).toBe(modelKind(id).parameterCount(configOf(chosen(id), 64)));
    expect(Object.keys(plan.options), id).toEqual(options.map(({ name }) => name));
  }
  expect(
    new Set(["rnn", "gru", "lstm", "transformer", "rwkv4", "rwkv5.2", "rwkv6", "rwkv7"].map(modelToken)).size,
  ).toBe(8);
});

test("what a visitor sets of a model reaches its configuration, and nothing of another model does", () => {
  expect(configOf(chosen("transformer", { context: 32, options: { heads: 8, embeddingSize: 16 } }), 64)).toMatchObject({
    ...{ kind: "transformer", channels: 64, heads: 8, contextLength: 32, numLayers: 2, vocabSize: 64 },
  });
  expect(configOf(chosen("transformer", { options: { embeddingSize: 16 } }), 64)).not.toHaveProperty("embeddingSize");
  expect(planRun(chosen("lstm", { options: { embeddingSize: 24 } }), text(20_000), limits).options).toMatchObject({
    embeddingSize: 24,
  });
});

test("a plan refuses what cannot be built or bound, and says what to change", () => {
  const obstacle = (model: string, more: Partial<Settings>) => planRun(chosen(model, more), text(2e5), limits).obstacle;
  const heads = "A width of 64 does not divide into 7 heads. Choose heads that divide it.";
  expect(obstacle("transformer", { options: { heads: 7 } })).toBe(heads);
  expect(obstacle("rwkv7", { options: { heads: 7 } })).toBe(heads);
  expect(obstacle("transformer", { options: { heads: 64 } })).toMatch(/^Rotary positions need heads of even size/);
  expect(obstacle("rwkv6", { width: 4096 })).toMatch(/^The weights of a feed-forward layer take 256 MB, .* Choose/);
});

/** Peak megabytes of runs with 64 symbols and 2 layers, measured on a device, with training steps and an evaluation. */
const PEAKS: Readonly<Record<string, readonly [narrow: number, wide: number]>> = {
  ...{ rnn: [4.62, 12.76], gru: [8.69, 30.52], lstm: [9.29, 33.54] },
  ...{ transformer: [28, 81.01], retnet: [41.58, 120.75], mamba: [32.01, 73.27] },
  ...{ rwkv4: [35.37, 95.26], "rwkv5.1": [36.45, 103.17], "rwkv5.2": [40.65, 111.04] },
  ...{ rwkv6: [63.47, 146.9], rwkv7: [60.41, 146.28] },
};
/** Of each pair. */
const MEASURED = [
  { width: 64, batch: 16 },
  { width: 256, batch: 8 },
] as const;

test("planned memory is within 10% of what a run takes, for every kind, narrow and wide", () => {
  for (const { kind } of modelKinds)
    for (const [i, size] of MEASURED.entries()) {
      const planned = planRun(chosen(kind, size), text(20_000), limits).memoryBytes / 1e6;
      const off = Math.abs(planned / (PEAKS[kind]?.[i] as number) - 1);
      expect(off, `${kind} of ${size.width}: ${planned} MB planned`).toBeLessThan(0.1);
    }
});
