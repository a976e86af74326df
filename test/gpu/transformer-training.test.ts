import { expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { createModel } from "../../src/models/registry.ts";
import { TransformerLanguageModel } from "../../src/models/transformer.ts";
import { positionKinds } from "../../src/nn/positions.ts";
import { crossEntropy } from "../../src/ops/crossEntropy.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { Adam } from "../../src/optim/adam.ts";
import { constantLr } from "../../src/optim/schedule.ts";
import { tensor } from "../../src/tensor/create.ts";
import { manualSeed } from "../../src/tensor/generator.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import { randomBatches } from "../../src/text/batches.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { getGpu } from "../support/device.ts";

const VOCABULARY = 19;
const tokensOf = (T: number) => Int32Array.from({ length: T }, (_, t) => (13 * t + (t % 7)) % VOCABULARY);

test("checkpointed blocks: the same gradients bit for bit from less memory", async () => {
  const config = {
    kind: "transformer",
    vocabSize: VOCABULARY,
    channels: 32,
    heads: 4,
    numLayers: 6,
    contextLength: 64,
    dropout: 0.1,
    positions: "rotary",
  };
  const run = async (checkpointBlocks: boolean) => {
    const own = await openDevice({ gpu: await getGpu() });
    const model = new TransformerLanguageModel(own, config, { random: new Random(2) });
    model.checkpointBlocks = checkpointBlocks;
    manualSeed(own, 5);
    const ids = tensor(own, tokensOf(256), [4, 64]);
    scope(() => {
      const { logits } = model.forward(ids);
      backward(crossEntropy(reshape(logits, [-1, VOCABULARY]), reshape(ids, [-1])));
    });
    const gradients = await Promise.all(model.parameters().map((parameter) => parameter.grad?.data()));
    const { peak } = own.stats.memory;
    own.destroy();
    return { gradients, peak };
  };
  const [plain, saving] = [await run(false), await run(true)];
  expect(plain.gradients.every((gradient) => gradient?.some((x) => x !== 0))).toBe(true);
  expect(saving.gradients).toEqual(plain.gradients);
  expect(saving.peak).toBeLessThan(0.6 * plain.peak);
});

test.each(positionKinds)(
  "a step of training in at most 90 launches and one submit, with %s positions",
  async (positions) => {
    const sizes = { vocabSize: 64, channels: 64, heads: 4, numLayers: 2, contextLength: 64, dropout: 0 };
    // A busy emulation may take too long for one submit.
    const uncut = await openDevice({ gpu: await getGpu(), maxSubmitMs: Number.POSITIVE_INFINITY });
    const model = createModel(uncut, { kind: "transformer", ...sizes, positions });
    const optimizer = new Adam(model.parameters(), { lr: 1e-3 });
    const batches = randomBatches(tokensOf(2000), { batchSize: 8, seqLength: 64, seed: 1 });
    const schedule = constantLr(1e-3);
    const trainer = new Trainer({ model, optimizer, schedule, batches, reportEveryMs: Number.POSITIVE_INFINITY });
    const submits = async (steps: number) => {
      const before = uncut.stats.submits;
      await trainer.run(steps);
      return uncut.stats.submits - before;
    };
    await submits(1);
    expect((await submits(5)) - (await submits(2))).toBe(3);
    expect(trainer.dispatchesPerStep).toBeLessThanOrEqual(90);
    uncut.destroy();
  },
);
