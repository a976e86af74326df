import { ValueError } from "../gpu/errors.ts";
import type { TextStream, Tokenizer, TokenizerDescription } from "./tokenizer.ts";

/** One token a byte of UTF-8: 256 tokens for any text. */
export class ByteTokenizer implements Tokenizer {
  readonly vocabSize = 256;

  encode(text: string): Int32Array<ArrayBuffer> {
    return Int32Array.from(new TextEncoder().encode(text));
  }

  decode(ids: ArrayLike<number>): string {
    return decoder().decode(Uint8Array.from(ids, checkByte));
  }

  stream(): TextStream {
    const utf8 = decoder();
    return {
      push: (id) => utf8.decode(Uint8Array.of(checkByte(id)), { stream: true }),
      flush: () => utf8.decode(),
    };
  }

  toJSON(): TokenizerDescription {
    return { kind: "bytes" };
  }
}

/** Malformed bytes become U+FFFD; a byte order mark stays, as it is one of the tokens. */
function decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}

function checkByte(id: number): number {
  if (id !== (id & 255)) throw new ValueError(`decode: the id ${id} is not a byte, 0 to 255`);
  return id;
}
