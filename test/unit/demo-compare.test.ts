/** Comparisons in the demo: who meets whom, and what is said of it. */
import { expect, test } from "vitest";
import type { Settings } from "../../demo/protocol.ts";
import { verdict } from "../../demo/verdict.ts";
import { matchSettings } from "../../demo/worker/match.ts";
import { configOf, modelChoices } from "../../demo/worker/models.ts";
import { sizesFor } from "../../demo/worker/sizes.ts";
import { modelKind } from "../../src/models/registry.ts";

const VOCABULARY = 80;
const parametersOf = (settings: Settings) => modelKind(settings.model).parameterCount(configOf(settings, VOCABULARY));

test.each([true, false])(
  "every model comes near the parameters of another, on the same text and steps (software %s)",
  (software) => {
    // The smallest size on a processor is too narrow to be matched closely.
    for (const size of sizesFor(software).slice(software ? 1 : 0)) {
      const settings: Settings = { model: "lstm", text: "names", options: {}, seed: 3, ...size };
      for (const { id, rate } of modelChoices) {
        const matched = matchSettings(settings, id, VOCABULARY);
        const ratio = parametersOf(matched) / parametersOf(settings);
        expect(Math.abs(Math.log(ratio)), `${id} at ${size.width}`).toBeLessThan(0.2);
        const { model, width, learningRate, options, ...same } = matched;
        expect({ model, options }).toEqual({ model: id, options: {} });
        expect(learningRate).toBeCloseTo(size.learningRate * rate, 6);
        expect(settings).toMatchObject(same);
      }
    }
  },
);

test("a comparison is told in one sentence, and a draw is called one", () => {
  const finding = (name: string, loss: number, seconds: number, milliseconds: number, bytes: number) => ({
    ...{ name, loss, seconds },
    cost: [
      { context: 32, milliseconds: 1, bytes: 1 },
      { context: 2048, milliseconds, bytes },
    ],
  });
  const lstm = finding("LSTM", 1.8, 30, 1, 1024);
  const transformer = finding("Transformer", 1.6, 10, 4, 2 ** 20);
  expect(verdict([lstm, transformer])).toBe(
    "Transformer learned best (loss 1.600); Transformer trained fastest (10 s); after 2,048 characters LSTM writes fastest, in the least memory. None has all of it here.",
  );
  expect(verdict([lstm, finding("RWKV-7", 1.595, 5, 0.5, 512)])).toMatch(/RWKV-7 has all of it here\.$/);
  expect(verdict([transformer, finding("RWKV-7", 1.595, 20, 2, 512)])).toMatch(/by less than another seed may change/);
});
