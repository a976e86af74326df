/** Algorithmic tasks: right answers, and no held-out question in training. */
import { describe, expect, test } from "vitest";
import { isHeldOut, lineOf, type TaskName, taskCorpus, taskOf, tasks } from "../../src/text/tasks.ts";

const small = { trainLength: 6000, validationLength: 700 };

test("each task solves its questions", () => {
  const solved = (name: TaskName, question: string) => taskOf(name).solve(question);
  expect(solved("copy", "badcab")).toBe("badcab");
  expect(solved("reverse", "badc")).toBe("cdab");
  expect(solved("sort", "badcab")).toBe("aabbcd");
  expect(solved("add", "95+7")).toBe("102");
  expect(solved("add", "999999999999999+1")).toBe("1000000000000000");
  expect(solved("brackets", "([]{(")).toBe(")})");
});

describe.each(tasks)("$name", ({ name, length, characters }) => {
  const corpus = taskCorpus(name, { ...small, seed: 3 });
  const text = corpus.tokenizer.decode(corpus.train);
  const lines = text.trimEnd().split("\n");

  test("the text is whole lines of questions with their answers", () => {
    expect(text.endsWith("\n")).toBe(true);
    expect(text.length).toBeGreaterThanOrEqual(small.trainLength);
    expect(text.length).toBeLessThan(small.trainLength + 40);
    for (const line of lines) {
      const [question = "", answer = ""] = line.split("=");
      expect(answer).toBe(taskOf(name).solve(question));
      expect(answer).not.toBe("");
    }
    const questions = lines.map((line) => line.split("=")[0] as string);
    const longest = Math.max(...questions.map((question) => question.length));
    expect(longest).toBe(name === "add" ? 2 * length + 1 : length);
    expect(new Set(questions.join(""))).toEqual(new Set(characters));
  });

  test("the held-out part asks what no training text asks, whatever its seed", () => {
    expect(corpus.tokenizer.decode(corpus.validation)).toBe(corpus.heldOut.map(lineOf).join(""));
    const asked = new Set(lines.map((line) => line.split("=")[0]));
    for (const { question } of corpus.heldOut) {
      expect(asked.has(question), question).toBe(false);
      expect(isHeldOut(question), question).toBe(true);
    }
    const other = taskCorpus(name, { ...small, seed: 4 });
    expect(other.train).not.toEqual(corpus.train);
    expect(
      other.tokenizer
        .decode(other.train)
        .split("\n")
        .map((line) => line.split("=")[0] as string)
        .some(isHeldOut),
    ).toBe(false);
  });

  test("a seed fixes it", () => {
    expect(taskCorpus(name, { ...small, seed: 3 }).train).toEqual(corpus.train);
  });
});

test("about a tenth of all questions is held out", () => {
  const questions = Array.from({ length: 10_000 }, (_, n) => `${Math.floor(n / 100)}+${n % 100}`);
  expect(questions.filter(isHeldOut).length / 10_000).toBeCloseTo(0.1, 1.5);
});

test("what cannot be asked is refused", () => {
  expect(() => taskCorpus("sing" as TaskName)).toThrow("known are copy, reverse, sort, add, brackets");
  expect(() => taskCorpus("add", { length: 16 })).toThrow("for add use a whole number from 1 to 15");
  expect(() => taskCorpus("sort", { length: 1 })).toThrow("length is 1");
  expect(() => taskCorpus("sort", { trainLength: 0 })).toThrow("trainLength is 0");
});
