/** The usual way to train: a run that is saved, resumed and refused where it does not fit. */
import { beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import { Random } from "../../src/tensor/philox.ts";
import { encodeSource } from "../../src/text/source.ts";
import { loadCheckpoint, readCheckpoint } from "../../src/train/checkpoint.ts";
import { TrainingRun } from "../../src/train/run.ts";
import { getGpu } from "../support/device.ts";

const TEXT = "the rain in spain stays mainly in the plain. ".repeat(20);
const SETTINGS = { batchSize: 2, seqLength: 16, steps: 12, lr: 1e-2 };

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

async function newRun(kind: string) {
  const text = await encodeSource(TEXT);
  const size = { vocabSize: text.tokenizer.vocabSize, width: 16, numLayers: 1, contextLength: 32 };
  const model = createModel(device, modelKind(kind).sized(size), { random: new Random(1) });
  return new TrainingRun(model, text, SETTINGS);
}

test.each(["lstm", "transformer", "rwkv4"])(
  "%s: a resumed run ends bit for bit where the unbroken one does",
  async (kind) => {
    const whole = await newRun(kind);
    await whole.train();
    expect(whole.step).toBe(12);
    const broken = await newRun(kind);
    await broken.train(5);
    const { model, training } = loadCheckpoint(device, await broken.save());
    const resumed = new TrainingRun(model, await encodeSource(TEXT), { resume: training });
    expect(resumed.settings).toEqual(whole.settings);
    expect(resumed.step).toBe(5);
    await resumed.train();
    expect(await resumed.save()).toEqual(await whole.save());
    expect(await resumed.evaluate()).toBe(await whole.evaluate());
    for (const run of [whole, broken, resumed]) {
      run.dispose();
      run.model.dispose();
    }
  },
);

test("a run can hold nothing out", async () => {
  const text = await encodeSource(TEXT);
  const size = { vocabSize: text.tokenizer.vocabSize, width: 16, numLayers: 1 };
  const model = createModel(device, modelKind("gru").sized(size));
  const run = new TrainingRun(model, text, { ...SETTINGS, validation: 0 });
  expect(await run.evaluate()).toBeNull();
  run.dispose();
  model.dispose();
});

test("what does not fit is refused, and no memory is kept", async () => {
  const run = await newRun("rnn");
  const { training } = readCheckpoint(await run.save());
  run.dispose();
  const text = await encodeSource(TEXT);
  const other = await encodeSource(TEXT + TEXT, text.tokenizer);
  const live = device.stats.memory.live;
  expect(() => new TrainingRun(run.model, other, { resume: training })).toThrow("resume with the same text");
  expect(() => new TrainingRun(run.model, text, { ...SETTINGS, lr: -1 })).toThrow("lr is -1");
  expect(() => new TrainingRun(run.model, text, { ...SETTINGS, steps: 1.5 })).toThrow("steps is 1.5");
  expect(() => new TrainingRun(run.model, text, { ...SETTINGS, batchSize: 99 })).toThrow("use a longer text");
  expect(() => new TrainingRun(run.model, text, { resume: { ...training!, settings: { other: 1 } } })).toThrow(
    "saved by another program",
  );
  expect(device.stats.memory.live).toBe(live);
  run.model.dispose();
});
