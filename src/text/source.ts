import { FileError, ValueError } from "../gpu/errors.ts";
import { ByteTokenizer } from "./bytes.ts";
import { CharTokenizer, codePointsOf } from "./characters.ts";
import type { Tokenizer } from "./tokenizer.ts";

type Chunk = string | Uint8Array;

/** Text as a whole or in chunks, such as a file stream, a `Blob.stream()` or a response body; bytes are UTF-8. */
export type TextSource = string | Iterable<Chunk> | AsyncIterable<Chunk> | ReadableStream<Chunk>;

/** A text as token ids, with the tokenizer that made them. */
export interface Encoded {
  readonly ids: Int32Array<ArrayBuffer>;
  readonly tokenizer: Tokenizer;
}

/**
 * Encodes a source chunk by chunk, so that the text as a whole is never held, but for tokenizers with a vocabulary of longer
 * pieces. Chunks may end within a character.
 *
 * @param tokenizer a tokenizer; "bytes"; or "characters" for one of exactly the characters that occur
 * @throws FileError `text-not-utf8` if characters are wanted of bytes that are not UTF-8
 * @throws ValueError if the source is empty or holds a character that the tokenizer lacks
 */
export async function encodeSource(
  source: TextSource,
  tokenizer: Tokenizer | "characters" | "bytes" = "characters",
): Promise<Encoded> {
  if (tokenizer === "characters") {
    // Code points stand in for the ids until all are known.
    const points = await collect(textOf(source), codePointsOf);
    const characters = new CharTokenizer(points);
    const ids = new Map(characters.codePoints.map((point, id) => [point, id]));
    for (let i = 0; i < points.length; i++) points[i] = ids.get(points[i] as number) as number;
    return { ids: points, tokenizer: characters };
  }
  const chosen = tokenizer === "bytes" ? new ByteTokenizer() : tokenizer;
  const encode = (text: string) => chosen.encode(text);
  const ids =
    chosen instanceof ByteTokenizer
      ? await collect(wholeCharacters(chunksOf(source)), (chunk) =>
          typeof chunk === "string" ? encode(chunk) : Int32Array.from(chunk),
        )
      : await collect(chosen instanceof CharTokenizer ? textOf(source) : joined(textOf(source)), encode);
  return { ids, tokenizer: chosen };
}

/** The chunks of any source. Not every browser iterates a ReadableStream, so that goes by its reader. */
async function* chunksOf(source: TextSource): AsyncGenerator<Chunk> {
  if (typeof source === "string") yield source;
  else if ("getReader" in source) {
    const reader = source.getReader();
    try {
      for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
    } finally {
      await reader.cancel();
    }
  } else yield* source;
}

/** Moves a surrogate at the end of a string to the start of the next, so that no chunk ends within a character. */
async function* wholeCharacters(chunks: AsyncIterable<Chunk>): AsyncGenerator<Chunk> {
  let kept = "";
  for await (const chunk of chunks) {
    if (typeof chunk !== "string") {
      yield chunk;
      continue;
    }
    const text = kept + chunk;
    const last = text.charCodeAt(text.length - 1);
    const whole = last >= 0xd800 && last < 0xdc00 ? text.length - 1 : text.length;
    kept = text.slice(whole);
    yield text.slice(0, whole);
  }
  if (kept) yield kept;
}

/** The source as strings of whole characters; bytes are decoded as UTF-8 without a byte order mark. */
async function* textOf(source: TextSource): AsyncGenerator<string> {
  const utf8 = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes?: Uint8Array) => {
    try {
      return bytes ? utf8.decode(bytes, { stream: true }) : utf8.decode();
    } catch {
      throw new FileError(
        "text-not-utf8",
        'encodeSource: the text is not UTF-8; save it as UTF-8, or use the tokenizer "bytes"',
      );
    }
  };
  for await (const chunk of wholeCharacters(chunksOf(source))) yield typeof chunk === "string" ? chunk : decode(chunk);
  yield decode();
}

/** The text as a whole: a token of several characters may span any two chunks. */
async function* joined(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let text = "";
  for await (const chunk of chunks) text += chunk;
  yield text;
}

/** All ids of the chunks, one after the other. */
async function collect<C extends Chunk>(
  chunks: AsyncIterable<C>,
  encode: (chunk: C) => Int32Array<ArrayBuffer>,
): Promise<Int32Array<ArrayBuffer>> {
  let ids = new Int32Array(1 << 16);
  let length = 0;
  for await (const chunk of chunks) {
    const part = encode(chunk);
    if (length + part.length > ids.length) {
      const grown = new Int32Array(Math.max(length + part.length, ids.length * 2));
      grown.set(ids.subarray(0, length));
      ids = grown;
    }
    ids.set(part, length);
    length += part.length;
  }
  if (length === 0) throw new ValueError("encodeSource: the text is empty; give a text with at least one character");
  return ids.slice(0, length);
}
