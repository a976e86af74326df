import { FileError, ValueError } from "../gpu/errors.ts";
import { decodeBytes, streamBytes } from "./pieces.ts";
import { pythonBytes } from "./python.ts";
import type { TextStream, Tokenizer, TokenizerDescription } from "./tokenizer.ts";
import { ByteTrie } from "./trie.ts";

/** Ends a text in RWKV's training data; the vocabulary has no such line. */
const END_OF_TEXT = 0;
const EMPTY = new Uint8Array(0);

/**
 * RWKV's World tokenizer: each token is a few bytes, and a text is cut into the longest tokens that fit, from its start.
 * Make one of the published vocabulary file with `worldTokenizer`.
 */
export class WorldTokenizer implements Tokenizer {
  readonly endOfText: number | undefined;
  private readonly tokens: readonly (Uint8Array<ArrayBuffer> | undefined)[];
  private readonly trie: ByteTrie;

  /**
   * @param tokens bytes by id; undefined where there is no token
   * @throws FileError if two are the same, one is empty, or there is none
   */
  constructor(tokens: readonly (Uint8Array<ArrayBuffer> | undefined)[]) {
    this.tokens = tokens;
    this.trie = new ByteTrie(tokens.reduce((sum, bytes) => sum + (bytes?.length ?? 0), 0));
    this.endOfText = tokens[END_OF_TEXT] ? undefined : END_OF_TEXT;
    if (tokens.length <= END_OF_TEXT + 1) throw damaged("it has no token");
    for (const [id, bytes] of tokens.entries()) {
      if (bytes?.length === 0) throw damaged(`token ${id} is empty`);
      const other = bytes && this.trie.add(bytes, id);
      if (other !== undefined) throw damaged(`the tokens ${other} and ${id} are the same`);
    }
  }

  get vocabSize(): number {
    return this.tokens.length;
  }

  encode(text: string): Int32Array<ArrayBuffer> {
    const bytes = new TextEncoder().encode(text);
    const ids = new Int32Array(bytes.length);
    let count = 0;
    for (let at = 0; at < bytes.length; ) {
      const id = this.trie.longest(bytes, at);
      if (id === undefined)
        throw new ValueError(
          `encode: no token begins with the byte ${bytes[at]} at ${at} of the text in UTF-8; use a vocabulary that has every byte`,
        );
      ids[count++] = id;
      at += (this.tokens[id] as Uint8Array).length;
    }
    return ids.slice(0, count);
  }

  decode(ids: ArrayLike<number>): string {
    return decodeBytes(ids, (id) => this.bytesOf(id));
  }

  stream(): TextStream {
    return streamBytes((id) => this.bytesOf(id));
  }

  toJSON(): TokenizerDescription {
    return { kind: "world", tokens: this.tokens.map((bytes) => (bytes ? String.fromCharCode(...bytes) : null)) };
  }

  private bytesOf(id: number): Uint8Array {
    const bytes = this.tokens[id];
    if (bytes) return bytes;
    if (id === this.endOfText) return EMPTY;
    throw new ValueError(`decode: the id ${id} is no token of the vocabulary of ${this.vocabSize}`);
  }
}

/**
 * The tokenizer of RWKV's World models, from the text of their vocabulary file (`rwkv_vocab_v20230424.txt`): a line for each
 * token, with its id, its text or bytes as Python writes them, and its length in bytes. Nothing of the file is executed.
 * @throws FileError `world-vocabulary` naming the first line that is not of that form
 */
export function worldTokenizer(vocabulary: string): WorldTokenizer {
  const tokens: (Uint8Array<ArrayBuffer> | undefined)[] = [];
  for (const [i, line] of vocabulary.split("\n").entries()) {
    if (line.trim() === "") continue;
    const [, number, literal, length] = /^(\d{1,7}) (.*) (\d+)\r?$/.exec(line) ?? [];
    const bytes = literal === undefined ? undefined : pythonBytes(literal);
    if (!bytes || bytes.length !== Number(length))
      throw damaged(`line ${i + 1} is not an id, a Python string or bytes, and their length`);
    const id = Number(number);
    if (tokens[id]) throw damaged(`line ${i + 1} has the id ${id} of another line`);
    tokens[id] = bytes;
  }
  return new WorldTokenizer(Array.from(tokens));
}

/** @throws FileError if it is no such description */
export function worldFromJSON(tokens: unknown): WorldTokenizer {
  if (!Array.isArray(tokens) || !tokens.every((token) => token === null || typeof token === "string"))
    throw damaged("its description is no list of tokens");
  return new WorldTokenizer(
    tokens.map((token: string | null) =>
      token === null ? undefined : Uint8Array.from(token, (character) => character.charCodeAt(0)),
    ),
  );
}

function damaged(what: string): FileError {
  return new FileError("world-vocabulary", `worldTokenizer: ${what}; use RWKV's vocabulary file as it is published`);
}
