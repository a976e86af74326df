import { describe, expect, test } from "vitest";
import { philox4x32, Random, splitWord, wordsToNormals, wordToUniform } from "../../src/tensor/philox.ts";

describe("philox4x32 gives the published answers", () => {
  const ones = 0xffffffff;
  const answers: [counter: [number, number, number, number], key: [number, number], words: number[]][] = [
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [ones, ones, ones, ones],
      [ones, ones],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ];
  for (const [counter, key, words] of answers) {
    test(counter.map((word) => word.toString(16)).join(" "), () => expect(philox4x32(counter, key)).toEqual(words));
  }
});

test("uniform numbers are exact in float32 and below 1", () => {
  expect([0, 0xff, 0x100, 0x80000000, 0xffffffff].map(wordToUniform)).toEqual([0, 0, 2 ** -24, 0.5, 1 - 2 ** -24]);
});

test("normal numbers stay finite for the word 0", () => {
  const [first, second] = wordsToNormals(0, 0);
  expect(first).toBeCloseTo(Math.sqrt(50 * Math.LN2), 12);
  expect(second).toBe(0);
});

describe("Random", () => {
  test("follows the counter layout", () => {
    const random = new Random(2 ** 40 + 5, 7);
    const words = Array.from({ length: 8 }, () => random.word());
    const key = splitWord(2 ** 40 + 5);
    expect(key).toEqual([5, 256]);
    expect(words).toEqual([...philox4x32([0, 7, 0, 0x80000000], key), ...philox4x32([1, 7, 0, 0x80000000], key)]);
  });

  test("repeats for a seed, differs between seeds and streams", () => {
    const draw = (seed: number, stream?: number) => [...new Random(seed, stream).fillUniform(new Float64Array(8))];
    expect(draw(1)).toEqual(draw(1));
    const sequences = [draw(1), draw(2), draw(1 + 2 ** 32), draw(1, 1)].map(String);
    expect(new Set(sequences).size).toBe(4);
  });

  test("goes on from its state at every position, through JSON", () => {
    const random = new Random(3, 1);
    for (let drawn = 0; drawn < 10; drawn++) {
      const again = Random.from(JSON.parse(JSON.stringify(random.state())));
      const draw = (from: Random) => [from.normal(), from.uniform(), from.normal(), from.integer(1000), from.normal()];
      const copy = Random.from(random.state());
      expect(draw(again)).toEqual(draw(copy));
      random.normal();
    }
    const far = Random.from({ seed: 3, stream: 1, position: 2 ** 34 + 4, spare: null });
    expect(far.word()).toBe(philox4x32([1, 1, 1, 0x80000000], [3, 0])[0]);
  });

  test("uniform: mean, variance and range", () => {
    const values = new Random(11).fillUniform(new Float32Array(200_000), -1, 3);
    const { mean, variance } = moments(values);
    expect(mean).toBeCloseTo(1, 1);
    expect(variance).toBeCloseTo(16 / 12, 1);
    expect(values.every((value) => value >= -1 && value < 3)).toBe(true);
  });

  test("normal: mean, variance and tails", () => {
    const values = new Random(12).fillNormal(new Float32Array(200_000), 5, 2);
    const { mean, variance } = moments(values);
    expect(Math.abs(mean - 5)).toBeLessThan(0.03);
    expect(Math.abs(variance - 4)).toBeLessThan(0.06);
    const beyond = values.filter((value) => Math.abs(value - 5) > 4).length / values.length;
    expect(Math.abs(beyond - 0.0455)).toBeLessThan(0.002);
  });

  test("integer: every value equally often", () => {
    const random = new Random(13);
    const counts = new Array(7).fill(0);
    for (let i = 0; i < 70_000; i++) counts[random.integer(7)]++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
    expect(random.integer(1)).toBe(0);
  });

  test("shuffle: a permutation, the same for a seed", () => {
    const items = () => Array.from({ length: 100 }, (_, i) => i);
    const shuffled = new Random(14).shuffle(items());
    expect(shuffled).toEqual(new Random(14).shuffle(items()));
    expect(shuffled).not.toEqual(items());
    expect(shuffled.toSorted((a, b) => a - b)).toEqual(items());
  });

  test("bad seeds, streams and counts are errors", () => {
    expect(() => new Random(-1)).toThrow("seed must be an integer from 0 to 2^53 - 1, got -1");
    expect(() => new Random(0.5)).toThrow("got 0.5");
    expect(() => new Random(0, 2 ** 32)).toThrow("stream");
    expect(() => new Random(0).integer(0)).toThrow("count");
    expect(() => Random.from({ seed: 0, stream: 0, position: -4, spare: null })).toThrow("position");
  });
});

function moments(values: Float32Array): { mean: number; variance: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length };
}
