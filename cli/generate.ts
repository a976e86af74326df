import {
  ByteTokenizer,
  generate,
  gpt2Tokenizer,
  type OpenedModel,
  openModel,
  type Progress,
  readTokenizer,
  type SamplingOptions,
  type Tokenizer,
} from "ostinato";
import { Failure } from "./failure.ts";
import { readBytes } from "./files.ts";
import { openGpu } from "./gpu.ts";
import { say } from "./progress.ts";

export interface WriteOptions extends SamplingOptions {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly stop?: readonly string[];
  /** "gpt2", "bytes", or the file of one. */
  readonly tokenizer?: string;
  readonly heads?: number;
  readonly headEps?: number;
  readonly weights: "f16" | "f32";
}

/** Streams the continuation of a prompt to the standard output, by a model from a file or an address. */
export async function write(file: string, options: WriteOptions): Promise<void> {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  const { signal } = interrupt;
  const { tokenizer: named, heads, headEps, weights } = options;
  const tokenizer = named === undefined ? undefined : await tokenizerOf(named);
  const source = /^https?:\/\//.test(file) ? file : await readBytes(file);
  const onProgress = typeof source === "string" ? downloaded : undefined;
  const opened = await openModel(await openGpu(), source, { signal, onProgress, tokenizer, heads, headEps, weights });
  const known = opened.tokenizer ?? (await usual(opened));
  // With the first piece: what is wrong with the options shows by then, and must not stand behind a prompt.
  let { prompt } = options;
  for await (const piece of generate(opened.model, known, { ...options, signal })) {
    process.stdout.write(prompt + piece);
    prompt = "";
  }
  process.stdout.write(`${prompt}\n`);
}

function downloaded({ loaded, total }: Progress): void {
  const mebibytes = (bytes: number) => (bytes / 2 ** 20).toFixed(1);
  say(loaded === total ? "" : `${mebibytes(loaded)}${total === null ? "" : ` of ${mebibytes(total)}`} MiB`);
}

async function tokenizerOf(named: string): Promise<Tokenizer> {
  if (named === "bytes") return new ByteTokenizer();
  if (named === "gpt2") return gpt2Tokenizer();
  return readTokenizer(new TextDecoder().decode(await readBytes(named)));
}

/** @throws Failure if the file's kind of model has no usual tokenizer */
async function usual({ format, kind }: OpenedModel): Promise<Tokenizer> {
  if (format === "gpt2") return gpt2Tokenizer();
  throw new Failure(
    `generate: the file holds a model (${kind}) but no tokenizer; give --tokenizer a tokenizer.json or RWKV's vocabulary file`,
  );
}
