/** Comparisons in the demo: who meets whom, and what is said of it. */
import { expect, test } from "vitest";
import type { Settings } from "../../demo/protocol.ts";
import { qualityOf } from "../../demo/quality.ts";
import { verdict } from "../../demo/verdict.ts";
import { matchSettings } from "../../demo/worker/match.ts";
import { configOf, modelChoices } from "../../demo/worker/models.ts";
import { sizesFor } from "../../demo/worker/sizes.ts";
import { textChoices } from "../../demo/worker/texts.ts";
import { modelKind } from "../../src/models/registry.ts";

const VOCABULARY = 80;
const parametersOf = (settings: Settings) => modelKind(settings.model).parameterCount(configOf(settings, VOCABULARY));

test.each([true, false])(
  "every model comes near the parameters of another, on the same text and steps (software %s)",
  (software) => {
    for (const size of sizesFor(software)) {
      const settings: Settings = { model: "lstm", text: "names", options: {}, seed: 3, ...size };
      for (const { id, rate } of modelChoices) {
        const matched = matchSettings(settings, id, VOCABULARY);
        const ratio = parametersOf(matched) / parametersOf(settings);
        expect(Math.abs(Math.log(ratio)), `${id} at ${size.width}`).toBeLessThan(0.07);
        const { model, width, learningRate, options, ...same } = matched;
        expect(model).toBe(id);
        const { heads } = configOf(matched, VOCABULARY) as { heads?: number };
        if (heads && width >= 32) {
          const head = width / heads;
          expect(head % 2 === 0 && head >= 16 && head <= 64, `${id} of ${width} in ${heads} heads`).toBe(true);
          expect(heads).toBeGreaterThan(1);
        }
        expect(learningRate).toBeCloseTo(size.learningRate * rate, 6);
        expect(settings).toMatchObject(same);
      }
    }
  },
);

test("a comparison is told in one sentence, and a draw is called one", () => {
  const catalogue = { models: [], texts: textChoices };
  const finding = (
    name: string,
    loss: number,
    accuracy: number,
    seconds: number,
    milliseconds: number,
    bytes: number,
  ) => ({
    ...{ name, heldOut: { step: 1, tokens: 1, seconds, loss, accuracy }, seconds },
    cost: [
      { context: 32, milliseconds: 1, bytes: 1 },
      { context: 2048, milliseconds, bytes },
    ],
  });
  const lstm = finding("LSTM", 1.8, 0.97, 30, 1, 1024);
  const transformer = finding("Transformer", 1.6, 0.5, 10, 4, 2 ** 20);
  const prose = qualityOf(catalogue, "names");
  expect(verdict([lstm, transformer], prose)).toBe(
    "Transformer learned best (loss 1.600); Transformer trained fastest (10 s); after 2,048 characters LSTM writes fastest, in the least memory. None has all of it here.",
  );
  expect(verdict([lstm, finding("RWKV-7", 1.595, 0.4, 5, 0.5, 512)], prose)).toMatch(/RWKV-7 has all of it here\.$/);
  const close = finding("RWKV-7", 1.595, 0.96, 20, 2, 512);
  expect(verdict([lstm, transformer, close], prose)).toMatch(
    /^RWKV-7 learned best, by less than another seed may change/,
  );
  expect(verdict([transformer, close], prose)).toMatch(/^All learned about equally well \(loss 1\.595\);/);
  // A task is about right answers, whatever the loss.
  const task = qualityOf(catalogue, "sort");
  expect(verdict([lstm, transformer], task)).toMatch(/^LSTM learned best \(97% of answers right\);/);
  expect(verdict([lstm, transformer, close], task)).toMatch(/^LSTM learned best, by less than another seed may change/);
  // Among equals another's advantages decide.
  const quick = finding("GRU", 1.8, 0.96, 5, 0.5, 512);
  expect(verdict([lstm, quick], task)).toMatch(/^All learned .* GRU has all of it here\.$/);
});
