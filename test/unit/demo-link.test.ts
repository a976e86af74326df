/** A run's settings in the page's address. */
import { expect, test } from "vitest";
import { settingsFromHash, settingsToHash } from "../../demo/link.ts";
import type { Settings } from "../../demo/protocol.ts";
import { modelChoices } from "../../demo/worker/models.ts";
import { textChoices } from "../../demo/worker/texts.ts";

const catalogue = { models: modelChoices, texts: textChoices };
const settings: Settings = {
  ...{ model: "rwkv5.2", options: { heads: 2 }, text: "names", width: 64, layers: 2, context: 64, batch: 16 },
  ...{ sequence: 64, steps: 80, learningRate: 3.5e-5, schedule: "linear", clip: 0, seed: 0 },
};

test("settings survive their address", () => {
  expect(settingsFromHash(settingsToHash(settings), catalogue)).toEqual(settings);
  const { text, ...others } = settings;
  expect(settingsFromHash(settingsToHash({ ...settings, text: "own" }), catalogue)).toEqual(others);
});

test("what an address says wrongly is left out", () => {
  const hash =
    "#model=gpt-9&text=elsewhere&width=-8&layers=0&batch=1e3&sequence=12.5&steps=&learningRate=fast&schedule=round&clip=NaN&seed=7&option.heads=2";
  expect(settingsFromHash(hash, catalogue)).toEqual({ seed: 7 });
  expect(settingsFromHash("#model=lstm&option.heads=2&option.embeddingSize=x", catalogue)).toEqual({
    ...{ model: "lstm", options: {} },
  });
  expect(settingsFromHash("", catalogue)).toEqual({});
});
