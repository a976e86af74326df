import { ValueError } from "../gpu/errors.ts";
import { ByteTokenizer } from "./bytes.ts";
import { CharTokenizer } from "./characters.ts";
import { GPT2_TOKENS, gpt2Tokenizer } from "./gpt2.ts";
import { jsonTokenizer } from "./json.ts";
import type { Tokenizer, TokenizerDescription } from "./tokenizer.ts";
import { worldFromJSON, worldTokenizer } from "./world.ts";

const LAST_CODE_POINT = 0x10ffff;

/**
 * The tokenizer of a description, as a checkpoint stores it. Those that need a package to be imported come back without
 * it: they refuse to encode and decode, and say so; `restoreTokenizer` makes them whole.
 *
 * @throws ValueError for a description that is damaged or of an unknown kind
 */
export function tokenizerFromJSON(description: TokenizerDescription): Tokenizer {
  const { kind } = description;
  switch (kind) {
    case "bytes":
      return new ByteTokenizer();
    case "characters": {
      const { codePoints } = description;
      if (!Array.isArray(codePoints) || !codePoints.every(isCodePoint))
        throw new ValueError(
          "tokenizerFromJSON: the vocabulary must be a list of code points; the description is damaged",
        );
      return new CharTokenizer(codePoints);
    }
    case "world":
      return worldFromJSON(description.tokens);
    case "gpt2":
      return withoutPackage(description, GPT2_TOKENS);
    case "tokenizer.json":
      return withoutPackage(description, description.vocabSize);
    default:
      throw new ValueError(
        `tokenizerFromJSON: there is no tokenizer of kind ${JSON.stringify(kind)}; known are "characters", "bytes", "world", "gpt2" and "tokenizer.json"`,
      );
  }
}

/**
 * The tokenizer of a description, with the package that it needs.
 * @throws as `tokenizerFromJSON`, and OstinatoError if the package is not installed
 */
export async function restoreTokenizer(description: TokenizerDescription): Promise<Tokenizer> {
  if (description.kind === "gpt2") return gpt2Tokenizer();
  if (description.kind === "tokenizer.json") return jsonTokenizer(description.json, description.config);
  return tokenizerFromJSON(description);
}

/**
 * The tokenizer of a file: a `tokenizer.json`, or RWKV's World vocabulary.
 * @throws FileError if it is neither
 */
export async function readTokenizer(text: string): Promise<Tokenizer> {
  return text.trimStart().startsWith("{") ? jsonTokenizer(text) : worldTokenizer(text);
}

/** Stands in for a tokenizer whose package is not loaded. */
function withoutPackage(description: TokenizerDescription, vocabSize: number): Tokenizer {
  const refuse = (): never => {
    throw new ValueError(
      `tokenizer: that of this checkpoint (${description.kind}) needs a package; make it with restoreTokenizer(tokenizer.toJSON()), or open the file with openModel`,
    );
  };
  return { vocabSize, encode: refuse, decode: refuse, stream: refuse, toJSON: () => description };
}

function isCodePoint(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LAST_CODE_POINT;
}
