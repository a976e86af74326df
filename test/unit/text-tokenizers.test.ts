import { describe, expect, test } from "vitest";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { CharTokenizer } from "../../src/text/characters.ts";
import { tokenizerFromJSON } from "../../src/text/restore.ts";
import type { Tokenizer, TokenizerDescription } from "../../src/text/tokenizer.ts";

const texts = ["", "hello", "naïve 🙂", "e\u0301", "\uFEFFbyte order mark", "🇩🇪 flag", "a\0b\r\n"];

describe("characters", () => {
  test("ids follow the code points, whatever the order of the text", () => {
    const tokenizer = new CharTokenizer("banana 🙂é");
    expect(tokenizer.vocabSize).toBe(6);
    expect([...tokenizer.encode(" abné🙂")]).toEqual([0, 1, 2, 3, 4, 5]);
    expect(new CharTokenizer([0x1f642, 97, 98, 110, 32, 233, 97]).codePoints).toEqual(tokenizer.codePoints);
  });

  test("decode is the inverse of encode", () => {
    const tokenizer = new CharTokenizer(`${texts.join("")}\ud83d`);
    for (const text of [...texts, "e\ud83d"]) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
  });

  test("an unknown character is named with its code point and place", () => {
    const tokenizer = new CharTokenizer("abc🙂");
    expect(() => tokenizer.encode("a🙂é")).toThrow(
      'encode: the character "é" (U+00E9) at index 2 is not among the 4 characters of the vocabulary; ' +
        "leave it out, or train on a text that contains it",
    );
    expect(() => tokenizer.encode("\n")).toThrow('"\\n" (U+000A) at index 0');
  });

  test("an empty text and foreign ids are errors", () => {
    expect(() => new CharTokenizer("")).toThrow("the text is empty");
    for (const id of [3, -1, 0.5])
      expect(() => new CharTokenizer("abc").decode([id])).toThrow(`the id ${id} is outside`);
    expect(() => new CharTokenizer("abc").stream().push(3)).toThrow("outside the vocabulary of 3");
  });
});

describe("bytes", () => {
  test("decode is the inverse of encode", () => {
    const tokenizer = new ByteTokenizer();
    for (const text of texts) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    expect([...tokenizer.encode("é")]).toEqual([0xc3, 0xa9]);
  });

  test("ids beyond a byte are errors", () => {
    for (const id of [256, -1, 1.5]) {
      expect(() => new ByteTokenizer().decode([id])).toThrow(`the id ${id} is not a byte`);
      expect(() => new ByteTokenizer().stream().push(id)).toThrow(`the id ${id} is not a byte`);
    }
  });
});

describe("streams", () => {
  /** Pieces of tokens that arrive in groups; each group's pieces joined, then the flush. */
  function pieces(groups: number[][], tokenizer: Tokenizer = new ByteTokenizer()): string[] {
    const stream = tokenizer.stream();
    return [...groups.map((ids) => ids.map((id) => stream.push(id)).join("")), stream.flush()];
  }

  test("bytes never split a character", () => {
    const groups = [[0x41, 0xf0], [0x9f], [0x99, 0x82, 0xc3], [0xa9]];
    expect(pieces(groups)).toEqual(["A", "", "🙂", "é", ""]);
    expect(pieces(groups.slice(0, 2))).toEqual(["A", "", "\uFFFD"]);
  });

  test("pieces joined are the decoded whole, malformed bytes included", () => {
    const tokenizer = new ByteTokenizer();
    const malformed = [
      [0xff, 0x41],
      [0xe2, 0x82],
      [0xe2, 0x82, 0x41],
      [0xf0, 0x9f, 0xc3],
      [0xed, 0xa0, 0x80],
    ];
    for (const ids of [...texts.map((text) => [...tokenizer.encode(text)]), ...malformed]) {
      expect(pieces(ids.map((id) => [id])).join("")).toBe(tokenizer.decode(ids));
    }
  });

  test("a flag, one byte at a time, comes as its two characters", () => {
    const ids = [...new ByteTokenizer().encode("🇩🇪")];
    expect(pieces(ids.map((id) => [id]))).toEqual(["", "", "", "🇩", "", "", "", "🇪", ""]);
  });

  test("characters come at once", () => {
    const tokenizer = new CharTokenizer("e\u0301🙂");
    expect(
      pieces(
        [...tokenizer.encode("🙂e\u0301")].map((id) => [id]),
        tokenizer,
      ),
    ).toEqual(["🙂", "e", "\u0301", ""]);
  });

  test("two streams of one tokenizer do not mix", () => {
    const tokenizer = new ByteTokenizer();
    const [a, b] = [tokenizer.stream(), tokenizer.stream()];
    expect([a.push(0xc3), b.push(0x41), a.push(0xa9), b.flush()]).toEqual(["", "A", "é", ""]);
  });
});

describe("descriptions", () => {
  test("a tokenizer comes back from its JSON", () => {
    for (const tokenizer of [new ByteTokenizer(), new CharTokenizer("aé🙂\ud83d\ude00\udc00\ud800")]) {
      const again = tokenizerFromJSON(JSON.parse(JSON.stringify(tokenizer)) as TokenizerDescription);
      expect(again.vocabSize).toBe(tokenizer.vocabSize);
      expect(again.encode("aé🙂")).toEqual(tokenizer.encode("aé🙂"));
      expect(again.toJSON()).toEqual(tokenizer.toJSON());
    }
  });

  test("damaged descriptions are errors", () => {
    const restore = (description: unknown) => () => tokenizerFromJSON(description as TokenizerDescription);
    expect(restore({ kind: "words" })).toThrow('no tokenizer of kind "words"');
    expect(restore({ kind: "characters" })).toThrow("list of code points");
    expect(restore({ kind: "characters", codePoints: [97, "b"] })).toThrow("list of code points");
    expect(restore({ kind: "characters", codePoints: [0x110000] })).toThrow("list of code points");
    expect(restore({ kind: "characters", codePoints: [] })).toThrow("empty");
  });
});
