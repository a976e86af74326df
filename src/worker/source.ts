import { readAll } from "../io/reader.ts";
import { ByteTokenizer } from "../text/bytes.ts";
import { gpt2Tokenizer } from "../text/gpt2.ts";
import { readTokenizer } from "../text/restore.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { TokenizerSource } from "./types.ts";

/** A text as `encodeSource` reads it. */
export const textOf = (text: string | Blob | undefined) => (text instanceof Blob ? text.stream() : (text ?? ""));

/** The tokenizer that a caller means. */
export async function tokenizerOf(source: TokenizerSource, signal: AbortSignal): Promise<Tokenizer> {
  if (source === "bytes") return new ByteTokenizer();
  if (source === "gpt2") return gpt2Tokenizer();
  return readTokenizer(new TextDecoder().decode(await readAll(source, { signal })));
}
