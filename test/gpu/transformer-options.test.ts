import { beforeAll, expect, test } from "vitest";
import { Session } from "../../src/generate/session.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { ModelConfig } from "../../src/models/language.ts";
import { TransformerLanguageModel } from "../../src/models/transformer.ts";
import type { HostTensor } from "../../src/nn/module.ts";
import { Random } from "../../src/tensor/philox.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { piecesOf, spreadWeights, wholeOf } from "../support/language.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const SHAPE = { kind: "transformer", vocabSize: 19, channels: 8, heads: 2, numLayers: 2 };
const tokensOf = (T: number) => Int32Array.from({ length: T }, (_, t) => (13 * t + (t % 7) + 5) % SHAPE.vocabSize);
const agree = { atol: 1e-4, rtol: 0 };

function modelOf(config: Partial<ModelConfig>): TransformerLanguageModel {
  const model = new TransformerLanguageModel(device, { ...SHAPE, ...config }, { random: new Random(1) });
  spreadWeights(model);
  model.eval();
  return model;
}

test("a head of its own gives what a tied one does while it holds the embedding", async () => {
  const tied = modelOf({ contextLength: 8 });
  const free = modelOf({ contextLength: 8, tiedHead: false });
  const weights = await tied.stateDict();
  const table = weights.get("transformer.wte.weight") as HostTensor;
  free.loadStateDict(new Map([...weights, ["lm_head.weight", table]]));
  const ids = tokensOf(8);
  const expected = await wholeOf(tied, ids);
  expectClose(await wholeOf(free, ids), expected, agree);
  const doubled = { ...table, values: table.values.map((x) => 2 * x) };
  free.loadStateDict(new Map([...weights, ["lm_head.weight", doubled]]));
  expectClose(
    await wholeOf(free, ids),
    expected.map((x) => 2 * x),
    agree,
  );
  for (const model of [tied, free]) model.dispose();
});

test("halves in the cache take half its memory and stay close, and a saved state goes on to the bit", async () => {
  const ids = tokensOf(24);
  const pieces = [9, 1, 1, 7, 1, 5];
  const config = { positions: "rotary", contextLength: 16, channels: 16 };
  const [full, half] = [modelOf(config), modelOf({ ...config, halfCache: true })];
  const bytes = [full, half].map((model) => {
    const state = model.initialState(1);
    const { byteLength } = state;
    state.dispose();
    return byteLength - 4; // the position
  }) as [number, number];
  expect(bytes[0]).toBe(2 * bytes[1]);
  const [exact, found] = [await piecesOf(full, ids, pieces), await piecesOf(half, ids, pieces)];
  const largest = Math.max(...exact.map((logit, i) => Math.abs(logit - (found[i] as number))));
  // A half has 11 digits: keys and values are off by 2^-12 of their size at most, scores and logits by a few times that.
  expect(largest / Math.max(...exact.map(Math.abs))).toBeLessThan(2 ** -9);
  expect(largest).toBeGreaterThan(0);

  const session = new Session(half);
  session.feed(ids.slice(0, 20));
  const saved = await session.save();
  const next = async () => {
    session.feed(ids.slice(20));
    return (await session.save()).model;
  };
  const first = await next();
  session.restore(saved);
  expect(await next()).toEqual(first);
  for (const one of [session, full, half]) one.dispose();
});
