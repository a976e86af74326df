/** The demo's logic apart from page, worker and device. */
import { expect, test } from "vitest";
import { Curve } from "../../demo/curve.ts";
import type { Point, Settings } from "../../demo/protocol.ts";
import { brief, bytes, duration, milliseconds, rate, short } from "../../demo/ui/format.ts";
import { modelToken } from "../../demo/ui/theme.ts";
import { plain } from "../../demo/worker/failure.ts";
import { nextMilestone } from "../../demo/worker/milestones.ts";
import { configOf, modelChoices } from "../../demo/worker/models.ts";
import { deviceName } from "../../demo/worker/name.ts";
import { planRun } from "../../demo/worker/plan.ts";
import { checkSaved } from "../../demo/worker/saved.ts";
import { Story } from "../../demo/worker/story.ts";
import { Turns } from "../../demo/worker/turns.ts";
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

test("a curve rewinds to a checkpoint and goes on", () => {
  const curve = new Curve();
  curve.add(points(1, 100));
  curve.addHeldOut(point(50));
  curve.addHeldOut(point(100));
  curve.rewind(60);
  expect(curve.last?.step).toBe(60);
  expect(curve.heldOut).toHaveLength(1);
  expect(curve.best).toBe(point(50).loss);
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
  expect([0.002, 3.5e-5, 0].map(rate)).toEqual(["0.002", "3.5e-5", "0"]);
});

test("a file's description of a run is checked field by field", () => {
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

/** Peak megabytes of training steps with 64 symbols, width 64, 2 layers, 16 passages of 64, measured on a device. */
const PEAKS: Readonly<Record<string, number>> = {
  ...{ rnn: 3.2, gru: 6.68, lstm: 7, transformer: 18.27, retnet: 25.07, mamba: 21.31 },
  ...{ rwkv4: 22.24, "rwkv5.1": 23.35, "rwkv5.2": 25.68, rwkv6: 49.2, rwkv7: 44.4 },
};

test("planned memory is within 15% of what training takes, for every kind", () => {
  for (const { kind } of modelKinds) {
    const planned = planRun(chosen(kind), text(20_000), limits).memoryBytes / 1e6;
    expect(Math.abs(planned / (PEAKS[kind] as number) - 1), `${kind}: ${planned} MB planned`).toBeLessThan(0.15);
  }
});
