import type { TextStream } from "./tokenizer.ts";

/** Malformed bytes become U+FFFD; a byte order mark stays, as it is one of the tokens. */
function decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

/** The text of tokens that are bytes of UTF-8. */
export function decodeBytes(ids: ArrayLike<number>, bytesOf: (id: number) => Uint8Array): string {
  const tokens = Array.from(ids, bytesOf);
  const bytes = new Uint8Array(tokens.reduce((sum, token) => sum + token.length, 0));
  let at = 0;
  for (const token of tokens) {
    bytes.set(token, at);
    at += token.length;
  }
  return decoder().decode(bytes);
}

/** Text from such tokens as they come; a character appears with its last byte. */
export function streamBytes(bytesOf: (id: number) => Uint8Array): TextStream {
  const utf8 = decoder();
  return {
    push: (id) => utf8.decode(bytesOf(id), { stream: true }),
    flush: () => utf8.decode(),
  };
}
