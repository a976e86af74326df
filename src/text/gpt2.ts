import { ValueError } from "../gpu/errors.ts";
import { peer } from "./peer.ts";
import { decodeBytes, streamBytes } from "./pieces.ts";
import type { Tokenizer } from "./tokenizer.ts";

export const GPT2_TOKENS = 50257;
const END_OF_TEXT = 50256;
const END = "<|endoftext|>";

const load = async () => {
  const [{ encode }, { default: ranks }] = await Promise.all([
    import("gpt-tokenizer/encoding/r50k_base"),
    import("gpt-tokenizer/bpeRanks/r50k_base"),
  ]);
  return { encode, ranks };
};

/**
 * GPT-2's byte-pair tokenizer with its vocabulary of 50,257, by the package gpt-tokenizer, which is imported here and
 * nowhere else. "<|endoftext|>" is the token that ends a text.
 * @throws OstinatoError if the package is not installed
 */
export async function gpt2Tokenizer(): Promise<Tokenizer> {
  const { encode, ranks } = await peer("gpt2Tokenizer", "gpt-tokenizer", load);
  const utf8 = new TextEncoder();
  const bytesOf = (id: number): Uint8Array => {
    const token = id === END_OF_TEXT ? END : ranks[id];
    if (token === undefined)
      throw new ValueError(`decode: the id ${id} is outside the vocabulary of ${GPT2_TOKENS} tokens`);
    return typeof token === "string" ? utf8.encode(token) : Uint8Array.from(token);
  };
  // The library takes the end for plain text, or refuses it.
  const parts = (text: string) => text.split(END).map((part) => encode(part, { disallowedSpecial: new Set() }));
  return {
    vocabSize: GPT2_TOKENS,
    endOfText: END_OF_TEXT,
    encode: (text) => Int32Array.from(parts(text).flatMap((ids, i) => (i === 0 ? ids : [END_OF_TEXT, ...ids]))),
    decode: (ids) => decodeBytes(ids, bytesOf),
    stream: () => streamBytes(bytesOf),
    toJSON: () => ({ kind: "gpt2" }),
  };
}
