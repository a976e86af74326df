import { describe, expect, test } from "vitest";
import { FileError } from "../../src/gpu/errors.ts";
import { type Batches, type BatchState, randomBatches, streamBatches } from "../../src/text/batches.ts";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { CharTokenizer } from "../../src/text/characters.ts";
import { readCorpus, splitIds } from "../../src/text/corpus.ts";
import { encodeSource, type TextSource } from "../../src/text/source.ts";

const count = (length: number) => Int32Array.from({ length }, (_, i) => i);

describe("encodeSource", () => {
  const text = "Zebra 🙂 é\uFFFD\n".repeat(9);
  const bytes = new TextEncoder().encode(text);

  async function* pieces<T>(whole: { length: number; slice(from: number, to: number): T }, size: number) {
    for (let i = 0; i < whole.length; i += size) yield whole.slice(i, i + size);
  }

  const sources: [what: string, source: () => TextSource][] = [
    ["a string", () => text],
    ["a list of strings", () => [text.slice(0, 5), "", text.slice(5)]],
    ["strings that end within a surrogate pair", () => pieces(text, 7)],
    ["single UTF-16 units", () => pieces(text, 1)],
    ["bytes that end within a character", () => pieces(bytes, 3)],
    ["a ReadableStream", () => new Blob([text]).stream()],
  ];
  for (const [what, source] of sources) {
    test(what, async () => {
      const whole = new CharTokenizer(text);
      const found = await encodeSource(source());
      expect(found.tokenizer.toJSON()).toEqual(whole.toJSON());
      expect(found.ids).toEqual(whole.encode(text));
      expect((await encodeSource(source(), whole)).ids).toEqual(whole.encode(text));
      expect([...(await encodeSource(source(), "bytes")).ids]).toEqual([...bytes]);
    });
  }

  test("more tokens than the first buffer holds", async () => {
    const long = "abc".repeat(60_000);
    const { ids, tokenizer } = await encodeSource(pieces(long, 50_000));
    expect(tokenizer.decode(ids)).toBe(long);
  });

  test("a byte order mark is dropped from characters, kept in bytes", async () => {
    const marked = () => [new Uint8Array([0xef, 0xbb, 0xbf, 0x41])];
    expect((await encodeSource(marked())).tokenizer.toJSON()).toEqual({ kind: "characters", codePoints: [0x41] });
    expect((await encodeSource(marked(), "bytes")).ids.length).toBe(4);
  });

  test("bytes that are not UTF-8: an error, unless bytes are the tokens", async () => {
    for (const broken of [
      [0xff, 0x41],
      [0x41, 0xc3],
    ]) {
      const source = [new Uint8Array(broken)];
      const error = await encodeSource(source).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(FileError);
      expect(error).toMatchObject({ code: "text-not-utf8" });
      expect([...(await encodeSource(source, new ByteTokenizer())).ids]).toEqual(broken);
    }
  });

  test("nothing and unknown characters are errors", async () => {
    for (const tokenizer of ["characters", "bytes"] as const) {
      for (const empty of ["", [], [""], new Blob([]).stream()]) {
        await expect(encodeSource(empty, tokenizer)).rejects.toThrow("the text is empty");
      }
    }
    await expect(encodeSource("abc", new CharTokenizer("ab"))).rejects.toThrow('"c" (U+0063) at index 2');
  });

  test("a source that fails midway passes its error on", async () => {
    async function* failing() {
      yield "abc";
      throw new Error("disk gone");
    }
    await expect(encodeSource(failing())).rejects.toThrow("disk gone");
  });
});

describe("splitIds", () => {
  test("the last fraction is held out", () => {
    const { train, validation } = splitIds(count(100), { validation: 0.2 });
    expect([train.length, train[79], validation.length, validation[0]]).toEqual([80, 79, 20, 80]);
    expect(splitIds(count(10), { validation: 0 }).validation.length).toBe(0);
  });

  test("at least one batch is held out", () => {
    expect(splitIds(count(100), { seqLength: 16 }).validation.length).toBe(17);
    expect(splitIds(count(100), { seqLength: 8, batchSize: 4 }).validation.length).toBe(33);
    expect(splitIds(count(34), { seqLength: 16 }).train.length).toBe(17);
  });

  test("a text too short for both parts is an error that names the lengths", () => {
    expect(() => splitIds(count(33), { seqLength: 16 })).toThrow(
      "splitIds: the text has 33 tokens, but 1 x 16 tokens a batch need 17 for validation and at least 17 for training",
    );
    expect(() => splitIds(count(16), { seqLength: 16, validation: 0 })).toThrow("need 17 for training;");
    expect(() => splitIds(new Int32Array(0))).toThrow("the text has 0 tokens");
    expect(() => splitIds(count(9), { validation: 1 })).toThrow(
      "validation must be a fraction from 0 to below 1, got 1",
    );
    expect(() => splitIds(count(9), { seqLength: 0 })).toThrow("seqLength must be an integer of at least 1, got 0");
  });

  test("readCorpus encodes and splits", async () => {
    const { tokenizer, train, validation } = await readCorpus(["abcab", "cabca"], { validation: 0.3 });
    expect([tokenizer.decode(train), tokenizer.decode(validation)]).toEqual(["abcabca", "bca"]);
    await expect(readCorpus("abc", { seqLength: 8 })).rejects.toThrow("the text has 3 tokens");
  });
});

/** Copies of the next batches; `next` reuses its arrays. */
function take(batches: Batches, times: number) {
  return Array.from({ length: times }, () => {
    const { inputs, targets, reset } = batches.next();
    return { inputs: [...inputs], targets: [...targets], reset };
  });
}

describe("randomBatches", () => {
  const shape = { batchSize: 3, seqLength: 4, seed: 5 };

  test("windows with the next token as target, fixed by the seed", () => {
    const taken = take(randomBatches(count(50), shape), 20);
    for (const { inputs, targets, reset } of taken) {
      expect(reset).toBe(true);
      expect(targets).toEqual(inputs.map((id) => id + 1));
      for (let row = 0; row < 3; row++)
        expect(inputs.slice(row * 4, row * 4 + 4)).toEqual([0, 1, 2, 3].map((t) => t + (inputs[row * 4] as number)));
    }
    expect(take(randomBatches(count(50), shape), 20)).toEqual(taken);
    expect(take(randomBatches(count(50), { ...shape, seed: 6 }), 20)).not.toEqual(taken);
  });

  test("every offset occurs, the last one too", () => {
    const starts = take(randomBatches(count(9), { ...shape, batchSize: 1 }), 200).map(({ inputs }) => inputs[0]);
    expect([...new Set(starts)].sort()).toEqual([0, 1, 2, 3, 4]);
  });

  test("a text of one window, and a shorter one", () => {
    expect(take(randomBatches(count(5), shape), 1)[0]?.targets).toEqual([1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4]);
    expect(() => randomBatches(count(4), shape)).toThrow("the text has 4 tokens, but 3 sequences of 4 need at least 5");
  });
});

describe("streamBatches", () => {
  test("rows walk along their streams and start again together", () => {
    const batches = streamBatches(count(24), { batchSize: 2, seqLength: 3 });
    expect(batches.perPass).toBe(3);
    const [first, second, third, again] = take(batches, 4);
    expect(first).toEqual({ inputs: [0, 1, 2, 11, 12, 13], targets: [1, 2, 3, 12, 13, 14], reset: true });
    expect(second).toEqual({ inputs: [3, 4, 5, 14, 15, 16], targets: [4, 5, 6, 15, 16, 17], reset: false });
    expect(third).toEqual({ inputs: [6, 7, 8, 17, 18, 19], targets: [7, 8, 9, 18, 19, 20], reset: false });
    expect(again).toEqual(first);
  });

  test("the shortest text is used to its last token", () => {
    expect(take(streamBatches(count(7), { batchSize: 2, seqLength: 3 }), 1)[0]?.targets).toEqual([1, 2, 3, 4, 5, 6]);
    expect(() => streamBatches(count(6), { batchSize: 2, seqLength: 3 })).toThrow(
      "streamBatches: the text has 6 tokens, but 2 sequences of 3 need at least 7",
    );
  });
});

describe("position", () => {
  const shape = { batchSize: 2, seqLength: 5, seed: 1 };
  const makers = { random: randomBatches, stream: streamBatches };
  for (const [kind, make] of Object.entries(makers)) {
    test(`${kind} batches go on bit for bit, through JSON`, () => {
      for (const before of [0, 1, 7, 23]) {
        const batches = make(count(103), shape);
        take(batches, before);
        const saved = JSON.parse(JSON.stringify(batches.state())) as BatchState;
        const wanted = take(batches, 15);
        const resumed = make(count(103), shape);
        take(resumed, 3);
        resumed.restore(saved);
        expect(take(resumed, 15)).toEqual(wanted);
      }
    });

    test(`${kind} batches refuse the position of others and stay where they are`, () => {
      const batches = make(count(103), shape);
      const [first] = take(make(count(103), shape), 1);
      const state = batches.state();
      expect(() => batches.restore({ ...state, tokens: 99 })).toThrow("has tokens 99, these batches have 103");
      expect(() => batches.restore({ ...state, seqLength: 6 })).toThrow("seqLength 6");
      expect(() => batches.restore({ ...state, position: -1 })).toThrow("the checkpoint is damaged");
      const other = kind === "random" ? "stream" : "random";
      expect(() => batches.restore({ ...state, kind: other })).toThrow(`kind ${other}`);
      expect(take(batches, 1)).toEqual([first]);
    });
  }

  test("a random position without its random state is an error", () => {
    const batches = randomBatches(count(103), shape);
    const { random, ...rest } = batches.state();
    expect(random?.seed).toBe(1);
    expect(() => batches.restore(rest)).toThrow("the saved position has no random state");
  });

  test("arrays are reused", () => {
    const batches = streamBatches(count(30), shape);
    expect(batches.next().inputs).toBe(batches.next().inputs);
  });
});
