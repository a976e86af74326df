import { FileError, ValueError } from "../gpu/errors.ts";
import { peer } from "./peer.ts";
import type { TextStream, Tokenizer } from "./tokenizer.ts";

const load = () => import("@huggingface/tokenizers");
type Library = InstanceType<Awaited<ReturnType<typeof load>>["Tokenizer"]>;

/** What tokens that end a text are called, in case no configuration says. */
const ENDS = ["<|endoftext|>", "</s>", "<eos>"];
const REPLACEMENT = "\uFFFD";
const PLAIN = { skip_special_tokens: false, clean_up_tokenization_spaces: false };

/**
 * A tokenizer from a `tokenizer.json`, as Hugging Face publishes them, by the package @huggingface/tokenizers, which is
 * imported here and nowhere else. No special tokens are added to a text; those that stand in it are understood.
 *
 * @param json the file's text, or what it parses to
 * @param config the same of `tokenizer_config.json`, whose eos_token ends a text
 * @throws FileError `tokenizer-json` if it is none that the package understands
 * @throws OstinatoError if the package is not installed
 */
export async function jsonTokenizer(json: string | object, config: string | object = {}): Promise<Tokenizer> {
  const { Tokenizer: Library } = await peer("jsonTokenizer", "@huggingface/tokenizers", load);
  const [description, settings] = [parsed(json), parsed(config) as { eos_token?: string | { content: string } }];
  let library: Library;
  try {
    library = new Library(description, settings);
  } catch (error) {
    throw damaged((error as Error).message);
  }
  const vocabulary = library.get_vocab(true);
  const vocabSize = [...vocabulary.values()].reduce((most, id) => Math.max(most, id + 1), 0);
  if (vocabSize === 0) throw damaged("its vocabulary is empty");
  const { eos_token: given } = settings;
  const ends = given === undefined ? ENDS : [typeof given === "string" ? given : given.content];
  const end = ends.find((token) => vocabulary.has(token));
  const decode = (ids: number[]): string => {
    const unknown = ids.find((id) => library.id_to_token(id) === undefined);
    if (unknown !== undefined)
      throw new ValueError(`decode: the id ${unknown} is no token of the vocabulary of ${vocabSize}`);
    return ids.length === 0 ? "" : library.decode(ids, PLAIN);
  };
  return {
    vocabSize,
    endOfText: end === undefined ? undefined : vocabulary.get(end),
    encode: (text) => Int32Array.from(library.encode(text, { add_special_tokens: false }).ids),
    decode: (ids) => decode(Array.from(ids)),
    stream: () => new Pieces(decode),
    toJSON: () => ({ kind: "tokenizer.json", vocabSize, json: description, config: settings }),
  };
}

/**
 * Text from tokens as they come, from a decoder that only takes whole lists: what a token adds is seen by decoding it
 * after the one before it, on which it may depend. The last U+FFFD may be the begin of a character and waits.
 */
class Pieces implements TextStream {
  private readonly decode: (ids: number[]) => string;
  /** The last token whose text is out, and those since. */
  private ids: number[] = [];
  /** How much of their text is out. */
  private out = 0;

  constructor(decode: (ids: number[]) => string) {
    this.decode = decode;
  }

  push(id: number): string {
    const text = this.decode([...this.ids, id]);
    this.ids.push(id);
    const sure = text.endsWith(REPLACEMENT) ? text.length - 1 : text.length;
    const piece = text.slice(this.out, sure);
    this.out = Math.max(this.out, sure);
    if (sure === text.length) {
      this.ids = [id];
      this.out = this.decode(this.ids).length;
    }
    return piece;
  }

  flush(): string {
    const rest = this.decode(this.ids).slice(this.out);
    this.out += rest.length;
    return rest;
  }
}

function parsed(json: string | object): object {
  try {
    const value: unknown = typeof json === "string" ? JSON.parse(json) : json;
    if (typeof value === "object" && value !== null) return value;
  } catch (error) {
    throw damaged((error as Error).message);
  }
  throw damaged("it is no object");
}

function damaged(reason: string): FileError {
  return new FileError(
    "tokenizer-json",
    `jsonTokenizer: the file cannot be used (${reason}); give a tokenizer.json as Hugging Face publishes it`,
  );
}
