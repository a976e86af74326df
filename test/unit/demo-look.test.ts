/** What the page makes of a model's insides, apart from page, worker and device. */
import { expect, test } from "vitest";
import { drawnShares, likelyAt, visible } from "../../demo/likely.ts";
import { paint, type Rgb, rgbOf, scaleOf, toneOf } from "../../demo/picture.ts";
import type { Choices } from "../../demo/protocol.ts";
import { telling } from "../../demo/worker/order.ts";
import { Texts, textChoices } from "../../demo/worker/texts.ts";
import { tasks } from "../../src/text/tasks.ts";

const plain = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };
const LOGITS = [2, 1, 0, -1];
const none = LOGITS.map(() => false);
const softmax = (logits: readonly number[]) => {
  const powers = logits.map(Math.exp);
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
};
function close(found: readonly number[], wanted: readonly number[]): void {
  for (const [i, value] of found.entries()) expect(value, `${i}`).toBeCloseTo(wanted[i]!, 9);
}

test("shares that are drawn follow the settings in the sampler's order", () => {
  close(drawnShares(LOGITS, none, plain), softmax(LOGITS));
  close(drawnShares(LOGITS, none, { ...plain, temperature: 0 }), [1, 0, 0, 0]);
  close(drawnShares(LOGITS, none, { ...plain, temperature: 2 }), softmax(LOGITS.map((x) => x / 2)));
  close(drawnShares(LOGITS, none, { ...plain, topK: 2 }), [...softmax([2, 1]), 0, 0]);
  // The first holds 64%, the first two 88%.
  close(drawnShares(LOGITS, none, { ...plain, topP: 0.7 }), [...softmax([2, 1]), 0, 0]);
  close(drawnShares(LOGITS, none, { ...plain, topP: 0 }), [1, 0, 0, 0]);
  close(drawnShares(LOGITS, none, { ...plain, minP: 0.2 }), [...softmax([2, 1]), 0, 0]);
  // What was seen falls behind: 2 / 4 and -1 * 4.
  const seen = [true, false, false, true];
  close(drawnShares(LOGITS, seen, { ...plain, repetitionPenalty: 4 }), softmax([0.5, 1, 0, -4]));
  close(drawnShares(LOGITS, seen, { ...plain, repetitionPenalty: 4, temperature: 0 }), [0, 1, 0, 0]);
});

test("the likeliest at a token, with the one that came", () => {
  const choices: Choices = {
    ids: Int32Array.of(7, 3, 9),
    from: 1,
    written: ["c", "i"],
    own: Float32Array.of(0.25, 0.125),
    count: 3,
    likely: Int32Array.of(7, 3, 5, 5, 7, 3),
    logits: Float32Array.of(2, 1, 0, 2, 1, 0),
    shares: Float32Array.of(0.5, 0.25, 0.125, 0.5, 0.25, 0.0625),
    texts: new Map([
      [7, "g"],
      [3, "c"],
      [5, "e"],
    ]),
  };
  const first = likelyAt(choices, 0, { ...plain, topK: 1 });
  expect(first.map(({ text, share, came }) => [text, share, came])).toEqual([
    ["g", 0.5, false],
    ["c", 0.25, true],
    ["e", 0.125, false],
  ]);
  expect(first.map(({ drawn }) => drawn)).toEqual([1, 0, 0]);
  // It came though it is not among those that are told.
  const second = likelyAt(choices, 1, plain, 2);
  expect(second.map(({ text, came }) => [text, came])).toEqual([
    ["e", false],
    ["i", true],
  ]);
  expect(second[1]?.share).toBe(0.125);
  // "g" and "c" stand before the second token.
  const [, g, c] = likelyAt(choices, 1, { ...plain, repetitionPenalty: 2 });
  expect(g!.drawn / c!.drawn).toBeCloseTo(Math.exp(0.5), 6);
});

test("tokens that cannot be seen have signs", () => {
  expect([" ", "\n", "a b", " the", ""].map(visible)).toEqual(["␣", "⏎", "a b", "␣the", "∅"]);
});

test("pictures: from nothing to the colour of each sign", () => {
  const palette = { zero: rgbOf("#fff"), high: rgbOf("#0072b2"), low: rgbOf("#000000") };
  expect(palette.high).toEqual([0, 114, 178]);
  const colours = (...values: number[]) => {
    const pixels = paint({ values: Float32Array.from(values) }, palette);
    return values.map((_, i) => [...pixels.subarray(4 * i, 4 * i + 4)]);
  };
  const full = (colour: Rgb) => [...colour, 255];
  const [nothing, highest, lowest, half] = colours(0, 4, -4, 2, 4);
  expect([nothing, highest, lowest]).toEqual([palette.zero, palette.high, palette.low].map(full));
  expect(half![0]).toBeCloseTo(127.5, -1);
  expect(colours(0, 0)).toEqual([full(palette.zero), full(palette.zero)]);
});

test("a value that stands out does not leave all others pale", () => {
  const values = Float32Array.from({ length: 100 }, (_, i) => (i === 7 ? 1000 : i % 2 ? -0.5 : 0.5));
  expect(scaleOf({ values })).toBe(0.5);
  expect([1000, 0.25, -0.5].map((value) => toneOf(value, 0.5))).toEqual([1, 0.5, -1]);
  // Nor does what is still to come: half of attention's triangle.
  expect(scaleOf({ values: Float32Array.of(0, 0, 0, 0, 0, 0.25) })).toBe(0.25);
});

test("the rows that change most are shown, like beside like", () => {
  const rising = [0, 1, 2, 3];
  const falling = [3, 2, 1, 0];
  const level = [9, 9, 9, 9];
  const rows = [rising, level, falling, rising.map((x) => 2 * x), falling.map((x) => 2 * x)];
  const order = telling(Float32Array.from(rows.flat()), rows.length, 4, 4);
  expect(order).toEqual([3, 0, 4, 2]);
});

test("every task is offered as a text, in two parts that its run keeps apart", async () => {
  expect(textChoices.filter(({ task }) => task).map(({ id }) => id)).toEqual(tasks.map(({ name }) => name));
  const texts = new Texts("");
  const report = await texts.load("sort");
  const { ids, task, text } = await texts.get("sort");
  expect(report).toEqual({ id: "sort", characters: ids.length, vocabulary: 10 });
  expect(ids.length).toBe(task!.train.length + task!.validation.length);
  expect(task!.heldOut.length).toBeGreaterThan(500);
  expect(text.slice(0, 40)).toMatch(/^[a-h]+=[a-h]+\n/);
  expect(texts.has("sort")).toBe(true);
  expect(await texts.own("sort")).toBeNull();
});
