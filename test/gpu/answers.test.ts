/** Accuracy on the answers of a task: as free writing has it, and as training raises it. */
import { beforeAll, expect, test } from "vitest";
import { generate } from "../../src/generate/generate.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import { Random } from "../../src/tensor/philox.ts";
import { type TaskExample, taskCorpus } from "../../src/text/tasks.ts";
import { answerAccuracy } from "../../src/train/answers.ts";
import { TrainingRun } from "../../src/train/run.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

test("training on a task raises the share of right answers, which is that of answers written freely", async () => {
  const corpus = taskCorpus("sort", { length: 2, trainLength: 20_000 });
  const { tokenizer } = corpus;
  const size = { vocabSize: tokenizer.vocabSize, width: 32, numLayers: 1 };
  const model = createModel(device, modelKind("gru").sized(size), { random: new Random(1) });
  const questions = new Map(corpus.heldOut.map((example) => [example.question, example]));
  // More than a pass takes, of different lengths.
  const examples: TaskExample[] = [...questions.values(), ...taskCorpus("sort", { length: 4 }).heldOut.slice(0, 70)];
  const before = await answerAccuracy(model, tokenizer, examples);
  const run = new TrainingRun(model, corpus, { batchSize: 8, seqLength: 24, steps: 100, lr: 3e-2 });
  await run.train();
  expect(await run.evaluate()).toBeLessThan(1.5);
  const after = await answerAccuracy(model, tokenizer, examples);
  expect(after.characters).toBeGreaterThan(before.characters + 0.3);
  expect(after.characters).toBeLessThan(1);
  expect(model.training).toBe(true);

  const asked = examples.slice(0, 5);
  let right = 0;
  for (const { question, answer } of asked) {
    let written = "";
    for await (const piece of generate(model, tokenizer, { prompt: `\n${question}=`, temperature: 0, maxTokens: 6 }))
      written += piece;
    if (written.startsWith(`${answer}\n`)) right++;
  }
  expect(right).toBeGreaterThan(0);
  expect((await answerAccuracy(model, tokenizer, asked)).answers).toBeCloseTo(right / asked.length, 9);
  run.dispose();
  model.dispose();
});

test("no examples are refused", async () => {
  const { tokenizer } = taskCorpus("copy", { trainLength: 100 });
  const model = createModel(
    device,
    modelKind("rnn").sized({ vocabSize: tokenizer.vocabSize, width: 16, numLayers: 1 }),
  );
  await expect(answerAccuracy(model, tokenizer, [])).rejects.toThrow("there are no examples");
  model.dispose();
});
