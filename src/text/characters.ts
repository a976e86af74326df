import { ValueError } from "../gpu/errors.ts";
import type { TextStream, Tokenizer, TokenizerDescription } from "./tokenizer.ts";

/** One token a character (Unicode code point); ids follow the order of code points. */
export class CharTokenizer implements Tokenizer {
  readonly codePoints: readonly number[];
  readonly #characters: readonly string[];
  readonly #ids: ReadonlyMap<number, number>;

  /**
   * @param characters a text, each of whose characters gets a token, or their code points; order and repeats do not matter
   * @throws ValueError if there are none
   */
  constructor(characters: string | Iterable<number>) {
    const points = new Set(typeof characters === "string" ? codePointsOf(characters) : characters);
    if (points.size === 0)
      throw new ValueError("CharTokenizer: the text is empty; give a text with at least one character");
    this.codePoints = [...points].sort((a, b) => a - b);
    this.#characters = this.codePoints.map((point) => String.fromCodePoint(point));
    this.#ids = new Map(this.codePoints.map((point, id) => [point, id]));
  }

  get vocabSize(): number {
    return this.codePoints.length;
  }

  encode(text: string): Int32Array<ArrayBuffer> {
    const ids = codePointsOf(text);
    for (let i = 0; i < ids.length; i++) {
      const point = ids[i] as number;
      const id = this.#ids.get(point);
      if (id === undefined) throw new ValueError(this.#unknown(point, i));
      ids[i] = id;
    }
    return ids;
  }

  decode(ids: ArrayLike<number>): string {
    let text = "";
    for (let i = 0; i < ids.length; i++) text += this.#character(ids[i] as number);
    return text;
  }

  stream(): TextStream {
    return { push: (id) => this.#character(id), flush: () => "" };
  }

  toJSON(): TokenizerDescription {
    return { kind: "characters", codePoints: this.codePoints };
  }

  #character(id: number): string {
    const character = this.#characters[id];
    if (character === undefined)
      throw new ValueError(`decode: the id ${id} is outside the vocabulary of ${this.vocabSize} characters`);
    return character;
  }

  #unknown(point: number, index: number): string {
    const code = `U+${point.toString(16).toUpperCase().padStart(4, "0")}`;
    return (
      `encode: the character ${JSON.stringify(String.fromCodePoint(point))} (${code}) at index ${index} is not among the ` +
      `${this.vocabSize} characters of the vocabulary; leave it out, or train on a text that contains it`
    );
  }
}

/** The code points of `text`; a lone surrogate counts as one. */
export function codePointsOf(text: string): Int32Array<ArrayBuffer> {
  const points = new Int32Array(text.length);
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const point = text.codePointAt(i) as number;
    if (point > 0xffff) i++;
    points[count++] = point;
  }
  return count === text.length ? points : points.slice(0, count);
}
