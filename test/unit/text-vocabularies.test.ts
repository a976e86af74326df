/** Tokenizers with a vocabulary of their own: RWKV's World, GPT-2's, and those of a tokenizer.json. */
import { describe, expect, test, vi } from "vitest";
import { FileError } from "../../src/gpu/errors.ts";
import { Random } from "../../src/tensor/philox.ts";
import { gpt2Tokenizer } from "../../src/text/gpt2.ts";
import { jsonTokenizer } from "../../src/text/json.ts";
import { pythonBytes } from "../../src/text/python.ts";
import { readTokenizer, restoreTokenizer, tokenizerFromJSON } from "../../src/text/restore.ts";
import { encodeSource } from "../../src/text/source.ts";
import type { Tokenizer, TokenizerDescription } from "../../src/text/tokenizer.ts";
import { WorldTokenizer, worldTokenizer } from "../../src/text/world.ts";
import { fileErrorOf } from "../support/files.ts";

const texts = ["", "hello hello", "naïve 🙂\n", "e\u0301", "\uFEFFmark", "🇩🇪 flag", "a\0b\r\n\t'\"\\"];

/** Pieces joined are the decoded whole, for any ids, and no piece shows part of a character that is still to come. */
function expectStreams(tokenizer: Tokenizer, ids: readonly number[]) {
  const stream = tokenizer.stream();
  const pieces = ids.map((id) => stream.push(id));
  expect(pieces.join("") + stream.flush()).toBe(tokenizer.decode(ids));
  return pieces;
}

function expectBehaves(tokenizer: Tokenizer) {
  const random = new Random(7);
  for (const text of texts) {
    const ids = tokenizer.encode(text);
    expect(tokenizer.decode(ids)).toBe(text);
    expectStreams(tokenizer, [...ids]);
  }
  for (let i = 0; i < 200; i++)
    expectStreams(
      tokenizer,
      Array.from({ length: 8 }, () => 1 + random.integer(tokenizer.vocabSize - 1)),
    );
  for (const id of [-1, 0.5, tokenizer.vocabSize]) {
    expect(() => tokenizer.decode([id])).toThrow(`the id ${id} is`);
    expect(() => tokenizer.stream().push(id)).toThrow(`the id ${id} is`);
  }
}

/** All bytes, as the published file begins, and some longer tokens. */
const words = ["'he'", "'hello'", "' hello'", "'ell'", "b'\\xf0\\x9f'", "'🙂'", "'\\n\\n'", "'na\\xefve'", '"it\'s"'];
const lines = [
  ...Array.from({ length: 128 }, (_, i) => `${i + 1} '\\x${i.toString(16).padStart(2, "0")}' 1`),
  ...Array.from({ length: 128 }, (_, i) => `${i + 129} b'\\x${(i + 128).toString(16)}' 1`),
  ...words.map((word, i) => `${i + 257} ${word} ${pythonBytes(word)?.length}`),
];
const vocabulary = `${lines.join("\n")}\n`;

describe("RWKV's World vocabulary", () => {
  test("cuts a text into the longest tokens that fit", () => {
    const world = worldTokenizer(vocabulary);
    expect(world.vocabSize).toBe(266);
    expect([...world.encode("hello hello")]).toEqual([258, 259]);
    expect([...world.encode("hell naïve🙂it's\n\n")]).toEqual([257, 109, 109, 33, 264, 262, 265, 263]);
    expectBehaves(worldTokenizer(lines.map((line) => `${line}\r`).join("\n")));
  });

  test("as trying every token at every place does", () => {
    const random = new Random(3);
    const tokens = new Map<string, Uint8Array<ArrayBuffer>>();
    for (const letter of [0, 1, 2]) tokens.set(`${letter}`, Uint8Array.of(97 + letter));
    for (let i = 0; i < 40; i++) {
      const bytes = Uint8Array.from({ length: 2 + random.integer(5) }, () => 97 + random.integer(3));
      tokens.set(String(bytes), bytes);
    }
    const list = [...tokens.values()];
    const world = new WorldTokenizer(list);
    for (let i = 0; i < 50; i++) {
      const text = Array.from({ length: 40 }, () => "abc"[random.integer(3)]).join("");
      const expected: number[] = [];
      for (let rest = text; rest; rest = rest.slice(list[expected.at(-1) as number]?.length)) {
        const fits = [...list.entries()].filter(([, bytes]) => rest.startsWith(String.fromCharCode(...bytes)));
        expected.push((fits.sort(([, a], [, b]) => b.length - a.length)[0] as [number, unknown])[0]);
      }
      expect([...world.encode(text)]).toEqual(expected);
    }
  });

  test("chunks of a source do not change the tokens", async () => {
    const world = worldTokenizer(vocabulary);
    const { ids } = await encodeSource(["he", "llo hel", "lo"], world);
    expect(ids).toEqual(world.encode("hello hello"));
  });

  test("the id 0 ends a text and has none", () => {
    const world = worldTokenizer(vocabulary);
    expect(world.endOfText).toBe(0);
    expect(world.decode([98, 0, 99])).toBe("ab");
  });

  test("a text with a byte that no token begins with is refused", () => {
    expect(() => worldTokenizer("1 'a' 1").encode("ab")).toThrow("no token begins with the byte 98 at 1 of the text");
  });

  test.each([
    ["a line without a length", "1 'a'"],
    ["a line without an id", "'a' 1"],
    ["a wrong length", "1 'ä' 1"],
    ["an expression", "1 'a'+'b' 2"],
    ["a call", "1 __import__('os') 1"],
    ["a string that goes on", "1 'a' 'b' 2"],
    ["an open string", "1 'a 2"],
    ["an escape that is none", "1 '\\q' 1"],
    ["a code point beyond the last", "1 '\\U00110000' 4"],
    ["text in bytes", "1 b'\\u00e9' 1"],
    ["an id twice", "1 'a' 1\n1 'b' 1"],
    ["a token twice", "1 'a' 1\n2 b'a' 1"],
    ["an empty token", "1 '' 0"],
    ["nothing", "\n"],
  ])("%s is refused", (_, text) => {
    expect(fileErrorOf(() => worldTokenizer(text))).toBe("world-vocabulary");
  });

  test("the line at fault is named", () => {
    expect(() => worldTokenizer("1 'a' 1\n2 'b' 2")).toThrow("worldTokenizer: line 2 is not an id, a Python string");
  });
});

test("Python's literals give their bytes", () => {
  const cases: [string, string | number[]][] = [
    ["'a\\'b'", "a'b"],
    ['"a\'b"', "a'b"],
    ["'\\t\\r\\\\'", "\t\r\\"],
    ["'\\x07\\0\\101'", "\x07\0A"],
    ["'\\xe9'", "é"],
    ["'\\u200b\\U0001f642'", "\u200b🙂"],
    ["b'\\xe9\\n'", [0xe9, 10]],
    ["'\u2028'", "\u2028"],
  ];
  for (const [literal, expected] of cases)
    expect(pythonBytes(literal)).toEqual(
      typeof expected === "string" ? new TextEncoder().encode(expected) : Uint8Array.from(expected),
    );
});

describe("GPT-2's byte pairs", () => {
  test("have the published ids", async () => {
    const gpt2 = await gpt2Tokenizer();
    expect(gpt2).toMatchObject({ vocabSize: 50257, endOfText: 50256 });
    expect([...gpt2.encode("Hello world")]).toEqual([15496, 995]);
    expect([...gpt2.encode("<|endoftext|>Hello<|endoftext|>")]).toEqual([50256, 15496, 50256]);
    expect(gpt2.decode([15496, 995, 50256])).toBe("Hello world<|endoftext|>");
    expectBehaves(gpt2);
    expect(expectStreams(gpt2, [...gpt2.encode("🙂")]).filter(Boolean)).toEqual(["🙂"]);
  });
});

const NONE = { normalizer: null, post_processor: null };

/** GPT-2's byte-level scheme over a few tokens: bytes as printable characters, as its files write them. */
async function tiny(config = {}) {
  const letters = ["h", "e", "l", "o", "Ġ", "Ċ", "Ã", "©", "ð", "Ł", "Ļ", "Ĥ", "he", "ll", "hell", "hello", "Ġhello"];
  const model = {
    type: "BPE",
    vocab: Object.fromEntries(letters.map((token, id) => [token, id])),
    merges: ["h e", "l l", "he ll", "hell o", "Ġ hello"],
  };
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const end = { id: 17, content: "<|endoftext|>", special: true, single_word: false, lstrip: false, rstrip: false };
  const json = { ...NONE, version: "1.0", added_tokens: [end], pre_tokenizer: bytes, decoder: bytes, model };
  return jsonTokenizer(JSON.stringify(json), config);
}

describe("a tokenizer.json", () => {
  test("is cut, joined and streamed", async () => {
    const tokenizer = await tiny();
    expect(tokenizer).toMatchObject({ vocabSize: 18, endOfText: 17 });
    expect([...tokenizer.encode("hello hello\né<|endoftext|>")]).toEqual([15, 16, 5, 6, 7, 17]);
    expect(tokenizer.decode([15, 16, 17])).toBe("hello hello<|endoftext|>");
    expect(expectStreams(tokenizer, [...tokenizer.encode("é🙂l")])).toEqual(["", "é", "", "", "", "🙂", "l"]);
    const random = new Random(5);
    for (let i = 0; i < 300; i++)
      expectStreams(
        tokenizer,
        Array.from({ length: 7 }, () => random.integer(18)),
      );
    expect(() => tokenizer.decode([18])).toThrow("the id 18 is no token of the vocabulary of 18");
    expect((await tiny({ eos_token: { content: "Ċ" } })).endOfText).toBe(5);
  });

  test("streams a decoder that drops the space in front", async () => {
    const vocab = Object.fromEntries(["▁the", "▁sea", "s", "<unk>"].map((token, id) => [token, id]));
    const space = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
    const model = { type: "BPE", vocab, merges: [] as string[], unk_token: "<unk>" };
    const tokenizer = await jsonTokenizer({
      ...NONE,
      version: "1.0",
      added_tokens: [],
      pre_tokenizer: space,
      decoder: space,
      model,
    });
    expect(tokenizer.decode([0, 1, 2, 0])).toBe("the seas the");
    expect(expectStreams(tokenizer, [0, 1, 2, 0])).toEqual(["the", " sea", "s", " the"]);
  });

  test.each([
    ["text that is no JSON", "{"],
    ["no object", "[1"],
    ["no model", "{}"],
    ["a model that is unknown", '{"added_tokens":[],"model":{"type":"Runes","vocab":{"a":0}}}'],
  ])("%s is refused", async (_, json) => {
    await expect(jsonTokenizer(json)).rejects.toMatchObject({ code: "tokenizer-json" });
    await expect(jsonTokenizer(json)).rejects.toThrow(FileError);
  });
});

test("a file tells which of the two it is", async () => {
  expect(await readTokenizer(vocabulary)).toBeInstanceOf(WorldTokenizer);
  await expect(readTokenizer(" {}")).rejects.toMatchObject({ code: "tokenizer-json" });
  await expect(readTokenizer("<html>")).rejects.toMatchObject({ code: "world-vocabulary" });
});

test("each comes back from its JSON; those with a package only once it is loaded", async () => {
  for (const tokenizer of [worldTokenizer(vocabulary), await gpt2Tokenizer(), await tiny()]) {
    const description = JSON.parse(JSON.stringify(tokenizer)) as TokenizerDescription;
    const again = await restoreTokenizer(description);
    expect(again.vocabSize).toBe(tokenizer.vocabSize);
    expect(again.endOfText).toBe(tokenizer.endOfText);
    expect(again.encode("hello hello")).toEqual(tokenizer.encode("hello hello"));
    const early = tokenizerFromJSON(description);
    expect(early.vocabSize).toBe(tokenizer.vocabSize);
    expect(early.toJSON()).toEqual(description);
    if (description.kind === "world") expect(early.encode("hello")).toEqual(Int32Array.of(258));
    else expect(() => early.encode("a")).toThrow(/needs a package; make it with restoreTokenizer/);
  }
  expect(() => tokenizerFromJSON({ kind: "world", tokens: [1] } as unknown as TokenizerDescription)).toThrow(FileError);
});

test("a package that is not installed is named", async () => {
  vi.doMock("gpt-tokenizer/encoding/r50k_base", () => {
    throw new Error("Cannot find package");
  });
  try {
    await expect(gpt2Tokenizer()).rejects.toThrow(/^gpt2Tokenizer: the package gpt-tokenizer cannot be loaded/);
    await expect(gpt2Tokenizer()).rejects.toThrow(/npm install gpt-tokenizer$/);
  } finally {
    vi.doUnmock("gpt-tokenizer/encoding/r50k_base");
  }
});
