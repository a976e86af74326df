import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { mul } from "../../src/ops/binary.ts";
import { dropout } from "../../src/ops/dropout.ts";
import { sum } from "../../src/ops/reduce.ts";
import { capture } from "../../src/tensor/capture.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import {
  defaultGenerator,
  Generator,
  generatorsOf,
  manualSeed,
  normal,
  randomWords,
  uniform,
} from "../../src/tensor/generator.ts";
import { philox4x32, splitWord, wordsToNormals, wordToUniform } from "../../src/tensor/philox.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { ODD_SIZES } from "../support/reference.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const SEED = 0x1234_5678_9abcd;

/** What src/tensor/philox.ts says a draw is. */
function words(n: number, call: number, step: number, seed = SEED): number[] {
  return Array.from(
    { length: n },
    (_, i) => philox4x32([i >> 2, call, ...splitWord(step)], splitWord(seed))[i % 4] as number,
  );
}

test("the GPU draws the numbers of philox.ts, bit for bit", async () => {
  using generator = new Generator(device, SEED);
  let call = 0;
  for (const n of ODD_SIZES) {
    expect([...(await randomWords(generator, [n]).data())], `${n} words`).toEqual(words(n, call++, 0));
  }
  generator.restore({ seed: SEED, step: 2 ** 32 - 1, calls: 5 });
  expect([...(await randomWords(generator, [9]).data())]).toEqual(words(9, 5, 2 ** 32 - 1));
  generator.advance();
  expect([...(await randomWords(generator, [9]).data())]).toEqual(words(9, 0, 2 ** 32));
  expect(await generator.state()).toEqual({ seed: SEED, step: 2 ** 32, calls: 1 });
});

test("uniform and normal numbers are those of philox.ts", async () => {
  using generator = new Generator(device, SEED);
  expect([...(await uniform(generator, [65]).data())]).toEqual(words(65, 0, 0).map(wordToUniform));
  const drawn = words(64, 1, 0);
  const expected = drawn.flatMap((w, i) => (i % 2 === 0 ? wordsToNormals(w, drawn[i + 1] as number) : []));
  expectClose(await normal(generator, [64]).data(), expected, { atol: 2e-4 });
  const scaled = await uniform(generator, [1000], -3, 5).data();
  expect(Math.min(...scaled)).toBeGreaterThanOrEqual(-3);
  expect(Math.max(...scaled)).toBeLessThan(5);
  const many = await normal(generator, [100_000], 2, 3).data();
  const mean = many.reduce((a, b) => a + b, 0) / many.length;
  const deviation = Math.sqrt(many.reduce((a, b) => a + (b - mean) ** 2, 0) / many.length);
  expectClose([mean, deviation], [2, 3], { atol: 0.04, rtol: 0 });
});

test("keeps the share that it should, scaled, and drops alike in backward", async () => {
  using generator = new Generator(device, 7);
  const n = 100_003;
  const x = ones(device, [n]);
  x.requiresGrad = true;
  for (const p of [0.1, 0.5, 0.9]) {
    x.gradValid = false;
    const y = dropout(x, p, generator);
    const data = await y.data();
    const kept = data.filter((v) => v !== 0);
    // Five standard deviations of a binomial share.
    expect(Math.abs(kept.length / n - (1 - p))).toBeLessThan(5 * Math.sqrt((p * (1 - p)) / n));
    expect(new Set(kept)).toEqual(new Set([Math.fround(1 / (1 - p))]));
    backward(sum(mul(y, 2)));
    expectClose(
      (await x.grad?.data()) ?? [],
      data.map((v) => 2 * v),
      { rtol: 1e-6 },
    );
    y.dispose();
  }
});

test("exactly the elements whose word is below p 2^32 go", async () => {
  using generator = new Generator(device, SEED);
  for (const n of ODD_SIZES) {
    generator.calls = 3;
    const y = await dropout(ones(device, [n]), 0.25, generator).data();
    expect([...y].map((v) => v !== 0)).toEqual(words(n, 3, 0).map((w) => w >= 2 ** 30));
  }
});

test("p = 0 is the identity, p = 1 gives zeros, others are refused", async () => {
  using generator = new Generator(device);
  const x = tensor(device, [1, -2, 3]);
  x.requiresGrad = true;
  expect(dropout(x, 0, generator)).toBe(x);
  const y = dropout(x, 1, generator);
  expectClose(await y.data(), [0, 0, 0]);
  backward(sum(y));
  expectClose((await x.grad?.data()) ?? [], [0, 0, 0]);
  for (const p of [-0.1, 1.1, Number.NaN]) expect(() => dropout(x, p, generator)).toThrow(ValueError);
  expect(() => dropout(x, 2, generator)).toThrow(
    "dropout: the probability 2 is outside 0 to 1; give the share of elements to drop",
  );
});

test("replays draw anew after advance, and the same as eager runs", async () => {
  using generator = new Generator(device, 3);
  const x = ones(device, [64]);
  const plan = await capture(device, () => {
    generator.advance();
    return [dropout(x, 0.5, generator), dropout(x, 0.5, generator)] as const;
  });
  const replayed: number[][] = [];
  for (let i = 0; i < 3; i++) {
    plan.replay();
    replayed.push(...(await Promise.all(plan.outputs.map((y) => y.data()))).map((data) => [...data]));
  }
  expect(new Set(replayed.map(String)).size).toBe(6);
  generator.restore({ seed: 3, step: 0, calls: 0 });
  const eager: number[][] = [];
  for (let i = 0; i < 3; i++) {
    generator.advance();
    for (let k = 0; k < 2; k++) eager.push([...(await dropout(x, 0.5, generator).data())]);
  }
  expect(eager).toEqual(replayed);
  expect(await generator.state()).toEqual({ seed: 3, step: 3, calls: 2 });
  plan.dispose();
});

test("advancing between forward and backward is an error, not another mask", () => {
  using generator = new Generator(device);
  const x = ones(device, [8]);
  x.requiresGrad = true;
  const y = sum(dropout(x, 0.5, generator));
  generator.advance();
  expect(() => backward(y)).toThrow("backward: a value that dropout saved was overwritten in place since");
});

test("a device has one default generator, and lists all of its own", () => {
  const before = generatorsOf(device).length;
  const shared = defaultGenerator(device);
  expect(defaultGenerator(device)).toBe(shared);
  const own = new Generator(device, 1);
  expect(generatorsOf(device).slice(-2)).toEqual([shared, own]);
  manualSeed(device, 99);
  expect(shared.calls).toBe(0);
  own.dispose();
  shared.dispose();
  expect(generatorsOf(device).length).toBe(before);
  expect(() => new Generator(device, -1)).toThrow(ValueError);
});
