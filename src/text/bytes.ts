import { ValueError } from "../gpu/errors.ts";
import { decodeBytes, streamBytes } from "./pieces.ts";
import type { TextStream, Tokenizer, TokenizerDescription } from "./tokenizer.ts";

/** One token a byte of UTF-8: 256 tokens for any text. */
export class ByteTokenizer implements Tokenizer {
  readonly vocabSize = 256;

  encode(text: string): Int32Array<ArrayBuffer> {
    return Int32Array.from(new TextEncoder().encode(text));
  }

  decode(ids: ArrayLike<number>): string {
    return decodeBytes(ids, byteOf);
  }

  stream(): TextStream {
    return streamBytes(byteOf);
  }

  toJSON(): TokenizerDescription {
    return { kind: "bytes" };
  }
}

function byteOf(id: number): Uint8Array {
  if (id !== (id & 255)) throw new ValueError(`decode: the id ${id} is not a byte, 0 to 255`);
  return Uint8Array.of(id);
}
