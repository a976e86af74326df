import { beforeAll, describe, expect, test } from "vitest";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { NO_TOKEN, Sampler, type SamplerOptions, type SamplingOptions } from "../../src/ops/sample.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { philox4x32, wordToUniform } from "../../src/tensor/philox.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { numbers } from "../support/reference.ts";

let device: Device;
/** The same device with the launches that a real GPU gets: 256 invocations a row. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

const LARGEST_UNIFORM = 0.99999994;
const INFINITY = Number.POSITIVE_INFINITY;

/** Ids drawn from one row of logits for each uniform number. */
async function draw(
  logits: readonly number[],
  uniforms: readonly number[],
  options: SamplingOptions = {},
  on = device,
): Promise<number[]> {
  const sampler = new Sampler(on, { batch: uniforms.length, vocabSize: logits.length, ...options });
  const rows = tensor(on, Float32Array.from(uniforms.flatMap(() => logits)), [uniforms.length, logits.length]);
  const ids = [...(await sampler.record(rows, tensor(on, [...uniforms])).data())];
  sampler.dispose();
  return ids;
}

/** The order of filters in float64: penalty, temperature, top-k, top-p, min-p; equal logits by index. */
function reference(logits: readonly number[], seen: ReadonlySet<number>, options: SamplingOptions): number[] {
  const { temperature = 1, topK = 0, topP = 1, minP = 0, repetitionPenalty = 1 } = options;
  const adjusted = logits.map(
    (x, i) => (seen.has(i) ? (x > 0 ? x / repetitionPenalty : x * repetitionPenalty) : x) / temperature,
  );
  const order = adjusted.map((_, i) => i).sort((a, b) => (adjusted[b] as number) - (adjusted[a] as number) || a - b);
  const top = adjusted[order[0] as number] as number;
  let kept = order.slice(0, topK || order.length);
  const weight = (i: number) => Math.exp((adjusted[i] as number) - top);
  const total = (ids: number[]) => ids.reduce((sum, i) => sum + weight(i), 0);
  const whole = total(kept);
  let sum = 0;
  kept = kept.filter((i, rank) => {
    const keep = rank === 0 || sum < topP * whole;
    sum += weight(i);
    return keep;
  });
  kept = kept.filter((i) => weight(i) >= minP);
  const mass = total(kept);
  const p = logits.map(() => 0);
  for (const i of kept) p[i] = weight(i) / mass;
  return p;
}

describe("the sampling table (O23)", () => {
  const logits = [1, 3, 3, -INFINITY];
  const uniforms = [0, 0.5, LARGEST_UNIFORM];

  test.each<[SamplingOptions, number[]]>([
    [{ temperature: 0 }, [1, 1, 1]],
    [{ topK: 1 }, [1, 1, 1]],
    [{ topP: 0 }, [1, 1, 1]],
    [{ topK: 2 }, [1, 2, 2]],
    [{ topK: 99 }, [0, 1, 2]],
    [{ topP: 1 }, [0, 1, 2]],
    [{ temperature: 1e-6 }, [1, 2, 2]],
    [{ minP: 0.5 }, [1, 2, 2]],
    [{ minP: 1, topK: 3 }, [1, 2, 2]],
    [{ topK: 2, topP: 0.4 }, [1, 1, 1]],
    [{ topK: 3 }, [0, 1, 2]],
  ])("%j draws %j", async (options, expected) => {
    expect(await draw(logits, uniforms, options)).toEqual(expected);
    expect(await draw(logits, uniforms, options, wide)).toEqual(expected);
  });

  test.each<[number[], number, number]>([
    [[INFINITY, 0], LARGEST_UNIFORM, 0],
    [[-INFINITY, 5], 0, 1],
    [[7], LARGEST_UNIFORM, 0],
    [[-0, 0], 0, 0],
    [[-1e38, -3e38], 0.9, 1],
  ])("logits %j with u = %f draw %i", async (row, u, expected) => {
    expect(await draw(row, [u])).toEqual([expected]);
  });

  test.each<[SamplingOptions, string]>([
    [{ temperature: -1 }, "sample: temperature is -1; it must be a number of 0 or more"],
    [{ temperature: Number.NaN }, "temperature is NaN"],
    [{ topP: 1.5 }, "topP is 1.5"],
    [{ topK: 2.5 }, "topK is 2.5"],
    [{ minP: -0.1 }, "minP is -0.1"],
    [{ repetitionPenalty: 0 }, "repetitionPenalty is 0"],
    [{ seed: -1 }, "seed must be an integer"],
  ])("%j is refused and changes nothing", async (options, message) => {
    const sampler = new Sampler(device, { vocabSize: 4, topK: 1 });
    expect(() => sampler.set({ temperature: 2, ...options })).toThrow(message);
    expect((await sampler.state()).settings).toMatchObject({ temperature: 1, topK: 1 });
  });

  test.each([[[-INFINITY, -INFINITY]], [[Number.NaN, 1]], [[1, -Number.NaN]]])(
    "logits %j are an error that names the step",
    async (row) => {
      for (const options of [{}, { temperature: 0 }]) {
        const sampler = new Sampler(device, { vocabSize: 2, ...options });
        sampler.record(tensor(device, [[1, 2]]));
        const token = sampler.record(tensor(device, [row]));
        expect(await token.item()).toBe(NO_TOKEN);
        await expect(sampler.take()).rejects.toThrow(
          "sample: the logits of step 1, row 0 have a NaN or nothing above -infinity",
        );
        sampler.record(tensor(device, [[1, 50]]));
        expect(await sampler.take()).toEqual([[1]]);
      }
    },
  );

  test("100,000 draws follow the probabilities, and the same seed gives the same ids", async () => {
    const [batch, steps] = [1000, 100];
    const logits = tensor(
      device,
      Float32Array.from({ length: 2 * batch }, (_, i) => (i % 2) * Math.log(3)),
      [batch, 2],
    );
    const sampler = new Sampler(device, { batch, vocabSize: 2, history: steps, seed: 5 });
    const run = async (count: number) => {
      for (let i = 0; i < count; i++) sampler.record(logits);
      return sampler.take();
    };
    const ids = await run(steps);
    const share = ids.flat().reduce((a, b) => a + b, 0) / (batch * steps);
    expect(Math.abs(share - 0.75)).toBeLessThan(0.005);
    const start = ids.map((row) => row.slice(0, 10));
    expect(await run(10)).not.toEqual(start);
    sampler.set({ seed: 5 });
    expect(await run(10)).toEqual(start);
  });
});

test("u is Philox of (row, the sampler's call, position)", async () => {
  const vocabSize = 1000;
  const sampler = new Sampler(device, { batch: 3, vocabSize, seed: 2 ** 40 + 7 });
  const logits = tensor(device, new Float32Array(3 * vocabSize), [3, vocabSize]);
  for (let i = 0; i < 4; i++) sampler.record(logits);
  const expected = [0, 1, 2].map((row) =>
    [0, 1, 2, 3].map((step) =>
      Math.floor(wordToUniform(philox4x32([row, 0x73616d70, step, 0], [7, 256])[0]) * vocabSize),
    ),
  );
  expect(await sampler.take()).toEqual(expected);
});

describe.each([3, 65, 257, 1000, 3001, 70_001])("a vocabulary of %i", (vocabSize) => {
  const logits = [...numbers([vocabSize], -6, 6, vocabSize).data].map((x) =>
    vocabSize > 100 ? Math.fround(Math.round(x * 8) / 8) : x,
  );

  test.each<SamplingOptions>([
    {},
    { temperature: 0.7 },
    { topK: 2 },
    { topK: 40, temperature: 1.5 },
    { topP: 0.9 },
    { topP: 0.3, minP: 0.7 },
    { topK: 50, topP: 0.5, repetitionPenalty: 1.3 },
    { minP: 0.05, repetitionPenalty: 0.8 },
  ])("%j keeps and draws what float64 does, however the row is split", async (options) => {
    const prompt = [0, 1, 1, vocabSize - 1];
    const expected = reference(logits, new Set(prompt), options);
    const u = 0.6180339;
    for (const on of [device, wide]) {
      const sampler = new Sampler(on, { vocabSize, ...options });
      sampler.see(prompt);
      const row = tensor(on, Float32Array.from(logits), [1, vocabSize]);
      expectClose(await sampler.probabilities(row).data(), expected, { atol: 2e-6, rtol: 1e-4 });
      const id = await sampler.record(row, tensor(on, [u])).item();
      const before = expected.slice(0, id).reduce((a, b) => a + b, 0);
      expect(before).toBeLessThan(u + 1e-5);
      expect(before + (expected[id] as number)).toBeGreaterThan(u - 1e-5);
      expect(expected[id]).toBeGreaterThan(0);
      sampler.dispose();
    }
  });
});

test("top-k with and without a list of candidates: fewer finite tokens than k, more equal ones than it holds, NaN", async () => {
  const vocabSize = 4099;
  const few = Array.from({ length: vocabSize }, (_, i) => (i % 1000 === 7 ? i / 1000 : -INFINITY));
  const equal = Array.from({ length: vocabSize }, (_, i) => (i === 4000 ? 2 : Math.fround(i % 7 === 0 ? 1 : -1)));
  for (const on of [device, wide]) {
    for (const [logits, topK] of [
      [few, 40],
      [equal, 40],
      [equal, 128],
      [equal, 129],
      [equal, 1],
    ] as const) {
      const sampler = new Sampler(on, { vocabSize, topK });
      const expected = reference(logits, new Set(), { topK });
      const row = tensor(on, Float32Array.from(logits), [1, vocabSize]);
      expectClose(await sampler.probabilities(row).data(), expected, { atol: 2e-6, rtol: 1e-4, what: `top ${topK}` });
      sampler.dispose();
    }
    const broken = Float32Array.from(few, (x, i) => (i === vocabSize - 1 ? Number.NaN : x));
    const sampler = new Sampler(on, { vocabSize, topK: 2 });
    expect(await sampler.record(tensor(on, broken, [1, vocabSize])).item()).toBe(NO_TOKEN);
    sampler.dispose();
  }
});

test("drawn tokens count as seen, each row for itself", async () => {
  const sampler = new Sampler(device, { batch: 2, vocabSize: 3, temperature: 0, repetitionPenalty: 2 });
  const logits = tensor(device, [
    [4, 3, 1],
    [-1, -3, -1.5],
  ]);
  for (let i = 0; i < 4; i++) sampler.record(logits);
  expect(await sampler.take()).toEqual([
    [0, 1, 0, 0],
    [0, 2, 0, 0],
  ]);
  expect((await sampler.state()).seen).toEqual([
    [
      [0, 3],
      [1, 1],
    ],
    [
      [0, 3],
      [2, 1],
    ],
  ]);
});

test("a captured step obeys settings that change afterwards", async () => {
  const sampler = new Sampler(device, { vocabSize: 4, temperature: 0 });
  const logits = tensor(device, [[1, 2, 3, 0]]);
  const plan = await capture(device, () => sampler.record(logits));
  plan.replay();
  sampler.set({ topK: 1, repetitionPenalty: 4 });
  plan.replay();
  logits.write([9, 2, 3, 0]);
  plan.replay();
  expect(await sampler.take()).toEqual([[2, 1, 0]]);
  plan.dispose();
});

test("a state restored, or copied to a branch, continues with the same tokens", async () => {
  const options: SamplerOptions = { vocabSize: 50, seed: 3, temperature: 2, repetitionPenalty: 1.2 };
  const logits = tensor(device, Float32Array.from(numbers([50]).data), [1, 50]);
  const one = new Sampler(device, options);
  one.see([4, 5, 5]);
  for (let i = 0; i < 70; i++) {
    one.record(logits);
    if (i === 40) await one.take();
  }
  expect((await one.take())[0]?.length).toBe(29);
  const saved = JSON.parse(JSON.stringify(await one.state()));
  const two = new Sampler(device, { vocabSize: 50 });
  two.restore(saved);
  const three = new Sampler(device, { vocabSize: 50 });
  three.restoreFrom(one);
  for (const sampler of [one, two, three]) for (let i = 0; i < 10; i++) sampler.record(logits);
  const ids = await one.take();
  expect(ids[0]?.length).toBe(10);
  expect(await two.take()).toEqual(ids);
  expect(await three.take()).toEqual(ids);
  two.reset();
  const fresh = new Sampler(device, options);
  for (const sampler of [two, fresh]) for (let i = 0; i < 10; i++) sampler.record(logits);
  expect(await two.take()).toEqual(await fresh.take());
});

test("errors name what does not fit", async () => {
  const sampler = new Sampler(device, { vocabSize: 3, history: 2 });
  const logits = tensor(device, [[1, 2, 3]]);
  expect(() => sampler.record(tensor(device, [1, 2, 3]))).toThrow(
    "sample: logits are f32 [3]; they must be f32 [1, 3]",
  );
  expect(() => sampler.record(logits, tensor(device, [0, 0]))).toThrow("sample: uniforms are [2]");
  expect(() => new Sampler(device, { vocabSize: 0 })).toThrow("sample: vocabSize is 0");
  expect(() =>
    sampler.restore({
      seed: 1,
      position: 0,
      settings: { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 },
      seen: [[[3, 1]]],
    }),
  ).toThrow("token 3 in row 0");
  expect(() => sampler.restoreFrom(new Sampler(device, { vocabSize: 4 }))).toThrow("cannot be copied");
  for (let i = 0; i < 3; i++) sampler.record(logits);
  await expect(sampler.take()).rejects.toThrow(
    "sample: 3 tokens were drawn since the last take and the history holds 2",
  );
});
