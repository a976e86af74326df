/** Going on with a loaded RWKV checkpoint: all weights, or only the states that a text begins with. */
import { beforeAll, describe, expect, test } from "vitest";
import { Session } from "../../src/generate/session.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { LanguageModel } from "../../src/models/language.ts";
import { rwkvFromCheckpoint } from "../../src/models/rwkv/load.ts";
import { RwkvLanguageModel } from "../../src/models/rwkv/model.ts";
import { StateTunedRwkv } from "../../src/models/rwkv/tuned.ts";
import type { StateDict } from "../../src/nn/module.ts";
import { AdamW } from "../../src/optim/adam.ts";
import { optimizerGroups } from "../../src/optim/modelGroups.ts";
import { constantLr } from "../../src/optim/schedule.ts";
import { Random } from "../../src/tensor/philox.ts";
import { randomBatches } from "../../src/text/batches.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const VOCABULARY = 8;

/** Tokens that count up in steps of 1 or of 3: what follows a token depends on the language, which a text does not name. */
function language(step: number): Int32Array<ArrayBuffer> {
  return Int32Array.from({ length: 400 }, (_, t) => (t * step) % VOCABULARY);
}

/** Losses of the first steps and of the last, on average. */
async function train(model: LanguageModel, ids: Int32Array<ArrayBuffer>, lr: number, steps: number) {
  const optimizer = new AdamW(optimizerGroups(model, { weightDecay: 0 }), { lr, maxNorm: 1 });
  const losses: number[] = [];
  const trainer = new Trainer({
    ...{ model, optimizer, schedule: constantLr(lr) },
    batches: randomBatches(ids, { batchSize: 4, seqLength: 8, seed: 1 }),
    onReport: ({ records }) => losses.push(...records.map(({ loss }) => loss)),
  });
  await trainer.run(steps);
  trainer.dispose();
  optimizer.dispose();
  const mean = (some: number[]) => some.reduce((sum, loss) => sum + loss, 0) / some.length;
  return { first: mean(losses.slice(0, 4)), last: mean(losses.slice(-4)) };
}

/** A checkpoint of a model that knows both languages a little. */
async function checkpoint(version: string): Promise<StateDict> {
  const config = { kind: `rwkv${version}`, vocabSize: VOCABULARY, channels: 16, heads: version === "4" ? 1 : 2 };
  const model = new RwkvLanguageModel(device, { ...config, numLayers: 2, hiddenSize: 32 }, { random: new Random(2) });
  await train(model, Int32Array.from([...language(1), ...language(3)]), 0.02, 30);
  const state = await model.stateDict();
  model.dispose();
  return state;
}

describe.each(["4", "5.2", "6", "7"])("RWKV-%s, loaded", (version) => {
  test("is tuned to a language: its weights, or only its first states", async () => {
    const file = await checkpoint(version);
    const model = rwkvFromCheckpoint(device, file);
    const tuned = new StateTunedRwkv(model);
    const states = await train(tuned, language(3), 0.1, 20);
    expect(states.last).toBeLessThan(0.8 * states.first);
    expect(await model.stateDict()).toEqual(file);

    // A session begins with the tuned state, and so goes on in the language.
    const session = new Session(tuned);
    session.feed(Int32Array.of(2));
    const ids: number[] = [];
    for await (const id of session.generate({ maxTokens: 3, temperature: 0 })) ids.push(id);
    expect(ids).toEqual([5, 0, 3]);
    session.dispose();
    tuned.dispose();

    const weights = await train(model, language(3), 0.01, 20);
    expect(weights.last).toBeLessThan(0.5 * weights.first);
    model.dispose();
  });
});

test("states are tuned over weights stored as halves", async () => {
  const model = rwkvFromCheckpoint(device, await checkpoint("7"), undefined, { weights: "f16" });
  const tuned = new StateTunedRwkv(model);
  const states = await train(tuned, language(3), 0.1, 20);
  expect(states.last).toBeLessThan(0.8 * states.first);
  tuned.dispose();
  model.dispose();
});
