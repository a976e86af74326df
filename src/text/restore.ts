import { ValueError } from "../gpu/errors.ts";
import { ByteTokenizer } from "./bytes.ts";
import { CharTokenizer } from "./characters.ts";
import type { Tokenizer, TokenizerDescription } from "./tokenizer.ts";

const LAST_CODE_POINT = 0x10ffff;

/**
 * The tokenizer of a description, as a checkpoint stores it.
 *
 * @throws ValueError for a description that is damaged or of an unknown kind
 */
export function tokenizerFromJSON(description: TokenizerDescription): Tokenizer {
  const { kind } = description;
  if (kind === "bytes") return new ByteTokenizer();
  if (kind === "characters") {
    const { codePoints } = description;
    if (!Array.isArray(codePoints) || !codePoints.every(isCodePoint))
      throw new ValueError(
        "tokenizerFromJSON: the vocabulary must be a list of code points; the description is damaged",
      );
    return new CharTokenizer(codePoints);
  }
  throw new ValueError(
    `tokenizerFromJSON: there is no tokenizer of kind ${JSON.stringify(kind)}; known are "characters" and "bytes"`,
  );
}

function isCodePoint(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= LAST_CODE_POINT;
}
