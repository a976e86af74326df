import type { Device } from "../../src/gpu/device.ts";
import { FileError, ValueError } from "../../src/gpu/errors.ts";
import type { Progress } from "../../src/io/reader.ts";
import { type OpenedModel, openModel } from "../../src/models/open.ts";
import { fitsVocabulary } from "../../src/models/vocabulary.ts";
import { GPT2_TOKENS, gpt2Tokenizer } from "../../src/text/gpt2.ts";
import { readTokenizer } from "../../src/text/restore.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import type { ModelSource } from "../protocol.ts";
import { starterAddress } from "../starters/index.ts";
import { Voice } from "./voice.ts";

/** Names under which tokenizers lie beside models. */
const BESIDE = ["tokenizer.json", "rwkv_vocab_v20230424.txt"];
const TOKENIZER = /\.(json|txt)$/i;

/** The model among files that were chosen together; undefined if there is none. */
const modelAmong = (files: readonly File[]): File | undefined => files.find(({ name }) => !TOKENIZER.test(name));

/** The text of a tokenizer that comes or lies with the model; null if there is none. */
type Beside = () => Promise<string | null>;

export interface Reading {
  onProgress(progress: Progress): void;
  readonly signal: AbortSignal;
}

/** A model that was opened, and where it can be read again. */
export interface Guest {
  readonly source: ModelSource;
  readonly voice: Voice;
}

/** Opens a model to talk to, with the tokenizer that it holds or that comes or lies with it. */
export async function openGuest(device: Device, source: ModelSource, reading: Reading): Promise<Guest> {
  return { source, voice: await read(device, source, reading) };
}

async function read(device: Device, source: ModelSource, reading: Reading): Promise<Voice> {
  if (source.kind === "files") {
    const file = modelAmong(source.files);
    if (!file) throw new ValueError("open: that is a tokenizer without its model; choose both files together");
    const beside = source.files.find(({ name }) => TOKENIZER.test(name));
    return speaking(await openModel(device, file, reading), async () => (beside ? beside.text() : null));
  }
  const address = source.kind === "starter" ? starterAddress(source.id, self.location.href) : addressOf(source.address);
  if (!address) throw new ValueError("open: the page has no such model; choose one from the list");
  return speaking(await openModel(device, address, reading), () => fetchBeside(address, reading.signal));
}

/** The model with its tokenizer; without one nobody can talk to it, and it is given up. */
async function speaking({ model, tokenizer, format }: OpenedModel, beside: Beside): Promise<Voice> {
  try {
    return new Voice(model, tokenizer ?? (await tokenizerOf(beside, model.config.vocabSize, format)));
  } catch (error) {
    model.dispose();
    throw error;
  }
}

async function tokenizerOf(beside: Beside, vocabSize: number, format: OpenedModel["format"]): Promise<Tokenizer> {
  const text = await beside();
  if (text === null && format === "gpt2" && vocabSize === GPT2_TOKENS) return gpt2Tokenizer();
  if (text === null)
    throw new FileError(
      "no-tokenizer",
      `open: the model has ${vocabSize.toLocaleString("en")} tokens and no tokenizer that says what they mean; choose its tokenizer.json, or RWKV's vocabulary, together with it`,
    );
  const tokenizer = await readTokenizer(text);
  if (!fitsVocabulary(vocabSize, tokenizer))
    throw new FileError(
      "vocabulary",
      `open: the model has ${vocabSize.toLocaleString("en")} tokens, the tokenizer beside it ${tokenizer.vocabSize.toLocaleString("en")}; choose the one it was trained with`,
    );
  return tokenizer;
}

/** On Hugging Face many files have one name, and the repository tells them apart. */
const REPOSITORY = /^https:\/\/huggingface\.co\/([^/]+\/[^/]+)\//;

/** What a model is called: the id of one that ships with the page, else its file. */
export function nameOf(source: ModelSource): string {
  if (source.kind === "starter") return source.id;
  if (source.kind === "files") return modelAmong(source.files)?.name ?? "";
  const { address } = source;
  const file = new URL(address).pathname.split("/").at(-1) || address;
  const repository = REPOSITORY.exec(address)?.[1];
  return repository ? `${repository}, ${file}` : file;
}

/** The address of a file. @throws ValueError if what was typed is none */
export function addressOf(typed: string): URL {
  if (!URL.canParse(typed) || !/^https?:/.test(typed))
    throw new ValueError(
      `open: ${JSON.stringify(typed)} is not an address of a file; it begins with https:// and ends with .safetensors or .pth`,
    );
  // What a browser shows of a file on Hugging Face is a page about it.
  return new URL(typed.replace(/^(https:\/\/huggingface\.co\/.+)\/blob\//, "$1/resolve/"));
}

/** The tokenizer in the folder of a model; null if there is none. */
async function fetchBeside(address: URL, signal: AbortSignal): Promise<string | null> {
  for (const name of BESIDE) {
    const response = await fetch(new URL(name, address), { signal }).catch(() => null);
    signal.throwIfAborted();
    const type = response?.headers.get("Content-Type") ?? "";
    if (response?.ok && !type.startsWith("text/html")) return response.text();
    await response?.body?.cancel();
  }
  return null;
}
