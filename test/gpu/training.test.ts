import { afterAll, beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { DeviceLostError, NonFiniteError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { LanguageModel } from "../../src/models/language.ts";
import { createModel } from "../../src/models/registry.ts";
import { AdamW } from "../../src/optim/adam.ts";
import { constantLr, type Schedule, warmupCosine } from "../../src/optim/schedule.ts";
import { Random } from "../../src/tensor/philox.ts";
import { randomBatches, streamBatches } from "../../src/text/batches.ts";
import { CharTokenizer } from "../../src/text/characters.ts";
import { readCheckpoint, saveCheckpoint } from "../../src/train/checkpoint.ts";
import type { StepRecord } from "../../src/train/history.ts";
import { Trainer, type TrainerOptions } from "../../src/train/trainer.ts";
import { getGpu } from "../support/device.ts";

const text = "the whale and the sea and the ship and the whale again. ".repeat(40);
const tokenizer = new CharTokenizer(text);
const ids = tokenizer.encode(text);
const shape = { batchSize: 4, seqLength: 16 };
const sizes = { vocabSize: tokenizer.vocabSize, embeddingSize: 8, hiddenSize: 24, numLayers: 1, dropout: 0 };

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});
afterAll(() => device.destroy());

interface Run {
  readonly model: LanguageModel;
  readonly optimizer: AdamW;
  readonly trainer: Trainer;
  readonly records: StepRecord[];
  dispose(): void;
}

function start(
  options: Partial<TrainerOptions> & { kind?: string; dropout?: number; numLayers?: number; schedule?: Schedule } = {},
): Run {
  const { kind = "lstm", dropout = 0, numLayers = 1, ...rest } = options;
  const config = { ...sizes, channels: 24, heads: 2, contextLength: 32, kind, dropout, numLayers };
  const model = createModel(device, config, { random: new Random(7) });
  const optimizer = new AdamW(model.parameters(), { lr: 1e-2, maxNorm: 1 });
  const records: StepRecord[] = [];
  const trainer = new Trainer({
    model,
    optimizer,
    batches: randomBatches(ids, { ...shape, seed: 1 }),
    schedule: constantLr(1e-2),
    onReport: (report) => records.push(...report.records),
    ...rest,
  });
  const dispose = () => {
    trainer.dispose();
    optimizer.dispose();
    model.dispose();
  };
  return { model, optimizer, trainer, records, dispose };
}

async function weights(model: LanguageModel): Promise<Map<string, number[]>> {
  return new Map([...(await model.stateDict())].map(([name, { values }]) => [name, [...values]]));
}

for (const kind of ["rnn", "gru", "lstm", "transformer"]) {
  test(`${kind}: the loss falls on a repetitive text, held-out loss too`, async () => {
    const run = start({ kind, validation: ids.slice(0, 400) });
    const before = await run.trainer.evaluate();
    await run.trainer.run(60);
    expect(run.records).toHaveLength(60);
    expect(run.records[0]?.loss).toBeGreaterThan(2.5);
    expect(run.records.at(-1)?.loss).toBeLessThan(1.2);
    expect(await run.trainer.evaluate()).toBeLessThan(before / 2);
    run.dispose();
  });
}

test("replay equals eager bit for bit under a schedule, with dropout, accumulation and carried state", async () => {
  const options = {
    dropout: 0.2,
    numLayers: 2,
    accumulate: 2,
    carryState: true,
    schedule: warmupCosine({ peak: 1e-2, floor: 1e-4, warmup: 3, total: 8 }),
  };
  const replayed = start({ ...options, batches: streamBatches(ids, shape) });
  await replayed.trainer.run(8);
  const expected = await weights(replayed.model);
  replayed.dispose();
  for (const generator of [...(await import("../../src/tensor/generator.ts")).generatorsOf(device)])
    generator.dispose();
  const eager = start({ ...options, batches: streamBatches(ids, shape), captured: false });
  await eager.trainer.run(8);
  expect(eager.records.map(({ loss }) => loss)).toEqual(replayed.records.map(({ loss }) => loss));
  expect(await weights(eager.model)).toEqual(expected);
  eager.dispose();
});

test("a run resumed from its checkpoint file continues bit for bit", async () => {
  const options = { carryState: true, schedule: warmupCosine({ peak: 1e-2, floor: 1e-4, warmup: 2, total: 12 }) };
  const whole = start({ ...options, batches: streamBatches(ids, shape) });
  await whole.trainer.run(5);
  const bytes = await saveCheckpoint(whole.model, tokenizer, {
    state: await whole.trainer.state(),
    schedule: options.schedule.description,
    settings: { corpus: "whale" },
  });
  await whole.trainer.run(5);

  const saved = readCheckpoint(bytes);
  expect(saved.tokenizer.decode(saved.tokenizer.encode("the whale"))).toBe("the whale");
  expect(saved.training?.settings).toEqual({ corpus: "whale" });
  const resumed = start({ ...options, batches: streamBatches(ids, shape) });
  resumed.model.loadStateDict(saved.parameters);
  if (saved.training) resumed.trainer.restore(saved.training.state);
  expect(resumed.trainer.step).toBe(5);
  await resumed.trainer.run(5);
  expect(resumed.records.map(({ loss }) => loss)).toEqual(whole.records.slice(5).map(({ loss }) => loss));
  expect(await weights(resumed.model)).toEqual(await weights(whole.model));
  whole.dispose();
  resumed.dispose();
});

test("accumulating two batches equals one batch of twice the size", async () => {
  const big = start({ batches: streamBatches(ids, { batchSize: 4, seqLength: 16 }), schedule: constantLr(1e-2) });
  await big.trainer.run(1);
  expect(big.trainer.dispatchesPerStep).toBeGreaterThan(0);
  const halves = start({ accumulate: 2, batches: halved(streamBatches(ids, { batchSize: 4, seqLength: 16 })) });
  await halves.trainer.run(1);
  expect(halves.records[0]?.loss).toBeCloseTo(big.records[0]?.loss as number, 5);
  expect(halves.records[0]?.gradNorm).toBeCloseTo(big.records[0]?.gradNorm as number, 4);
  big.dispose();
  halves.dispose();
});

/** Batches of half the rows, in turn. */
function halved(batches: ReturnType<typeof streamBatches>) {
  let rest: { inputs: Int32Array<ArrayBuffer>; targets: Int32Array<ArrayBuffer> } | null = null;
  const { batchSize, seqLength } = batches;
  const half = (batchSize / 2) * seqLength;
  return {
    ...batches,
    batchSize: batchSize / 2,
    next() {
      if (rest) {
        const second = { inputs: rest.inputs.slice(half), targets: rest.targets.slice(half), reset: true };
        rest = null;
        return second;
      }
      const { inputs, targets } = batches.next();
      rest = { inputs: inputs.slice(), targets: targets.slice() };
      return { inputs: inputs.slice(0, half), targets: targets.slice(0, half), reset: true };
    },
  };
}

test("a step with a non-finite gradient changes nothing, is counted, and ten in a row end the run", async () => {
  const run = start();
  await run.trainer.run(2);
  const state = await run.model.stateDict();
  const bias = state.get("decoder.bias");
  if (!bias) throw new Error("the model has no decoder.bias");
  bias.values[0] = Number.NaN;
  run.model.loadStateDict(state);
  const before = await weights(run.model);
  await run.trainer.run(3);
  expect(run.records.slice(2).map(({ skipped }) => skipped)).toEqual([true, true, true]);
  expect(await weights(run.model)).toEqual(before);
  expect(await run.optimizer.report()).toMatchObject({ steps: 2, skipped: 3 });
  const error = await run.trainer.run(20).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(NonFiniteError);
  expect(String(error)).toMatch(
    /up to step \d+ had .* the first tensor that is not finite in step \d+ is the parameter decoder\.bias; lower/,
  );
  bias.values[0] = 0;
  run.model.loadStateDict(state);
  await run.trainer.run(2);
  expect(run.records.at(-1)?.skipped).toBe(false);
  run.dispose();
});

test("live bytes after many steps are those after the tenth, and everything is given back", async () => {
  await device.sync();
  const empty = device.stats.memory.live;
  const run = start();
  await run.trainer.run(10);
  const { live } = device.stats.memory;
  await run.trainer.run(190);
  expect(device.stats.memory.live).toBe(live);
  run.dispose();
  expect(device.stats.memory.live).toBe(empty);
});

test("a step is one submit and at most 40 launches, whatever the length", async () => {
  for (const seqLength of [4, 64]) {
    const batches = randomBatches(ids, { batchSize: 4, seqLength, seed: 1 });
    const run = start({ batches, reportEveryMs: Number.POSITIVE_INFINITY });
    await run.trainer.run(1);
    const { submits } = device.stats;
    await run.trainer.run(6);
    // The report at the end of a run is one more.
    expect(device.stats.submits - submits).toBeLessThanOrEqual(7);
    expect(run.trainer.dispatchesPerStep).toBeLessThanOrEqual(40);
    run.dispose();
  }
});

test("an abort ends the run after the step in progress, and it can go on", async () => {
  const run = start();
  const controller = new AbortController();
  const running = run.trainer.run(10_000, controller.signal);
  setTimeout(() => controller.abort(), 200);
  await running;
  const { step } = run.trainer;
  expect(step).toBeGreaterThan(0);
  expect(step).toBeLessThan(10_000);
  await run.trainer.run(3);
  expect(run.trainer.step).toBe(step + 3);
  await expect(Promise.all([run.trainer.run(50), run.trainer.run(1)])).rejects.toThrow(/already running/);
  run.dispose();
});

test("a device lost in mid-training rejects with DeviceLostError and nothing hangs", async () => {
  const own = await openDevice({ gpu: await getGpu() });
  const model = createModel(own, { ...sizes, kind: "lstm" }, { random: new Random(7) });
  const optimizer = new AdamW(model.parameters(), { lr: 1e-2 });
  const batches = randomBatches(ids, { ...shape, seed: 1 });
  const trainer = new Trainer({ model, optimizer, batches, schedule: constantLr(1e-2) });
  const running = trainer.run(10_000);
  setTimeout(() => own.gpu.destroy(), 200);
  await expect(running).rejects.toThrow(DeviceLostError);
  expect(() => optimizer.step()).toThrow(DeviceLostError);
  await expect(own.lost).resolves.toBeInstanceOf(DeviceLostError);
});
