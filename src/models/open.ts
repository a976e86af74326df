import type { Device } from "../gpu/device.ts";
import { FileError, ValueError } from "../gpu/errors.ts";
import type { FileTensor } from "../io/format.ts";
import { looksLikePyTorch, parsePyTorch, parsePyTorchHead } from "../io/pytorch/read.ts";
import { type ByteSource, FileReading, type ReadOptions } from "../io/reader.ts";
import {
  looksLikeSafetensors,
  parseSafetensors,
  parseSafetensorsHeader,
  safetensorsDataStart,
} from "../io/safetensors.ts";
import { ByteTokenizer } from "../text/bytes.ts";
import { restoreTokenizer } from "../text/restore.ts";
import type { Tokenizer, TokenizerDescription } from "../text/tokenizer.ts";
import { hostTensors, transposed } from "./fileState.ts";
import type { WeightOptions } from "./filled.ts";
import type { LanguageModel, ModelConfig } from "./language.ts";
import { checkFits, type FormatOptions, formatOf, type Shapes } from "./openFormat.ts";
import { type Place, placesOf } from "./openNames.ts";
import { damaged, modelOf, OWN_KEY, ownDescription, type SavedRun, splitOwn } from "./openOwn.ts";
import { fitsVocabulary } from "./vocabulary.ts";

/** Options of `openModel`. */
export interface OpenModelOptions extends ReadOptions, FormatOptions, WeightOptions {
  /**
   * What turns text into the model's tokens. By default that of a checkpoint of this engine; bytes, if the model has 256
   * tokens; else none.
   */
  readonly tokenizer?: Tokenizer | undefined;
}

/** A model from a file. */
export interface OpenedModel {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer | null;
  /** Name in the registry, for instance `rwkv7`. */
  readonly kind: string;
  /** Whose names and layout the file has. */
  readonly format: "ostinato" | "rwkv" | "gpt2" | "mamba";
  /** The run in training that a checkpoint of this engine holds; `trainingOf` reads it. */
  readonly run: SavedRun | null;
}

/** What a file's names, shapes and metadata promise, found out before its values are there. */
interface Promised {
  readonly tokenizer: Tokenizer | null;
  build(tensors: ReadonlyMap<string, FileTensor>): Omit<OpenedModel, "tokenizer" | "kind">;
}

/** Bytes that tell what kind of file it is. */
const HEAD_BYTES = 512;
/** How far a `.pth` is read at first for what describes its tensors, and how far at most. */
const PICKLE_BYTES = 2 ** 16;
const MOST_PICKLE_BYTES = 2 ** 22;

/**
 * Opens a language model from any file that this engine knows: its own checkpoints; RWKV 4 to 7, GPT-2 and Mamba as
 * safetensors or as PyTorch's `.pth`, under their original names or those of Hugging Face. What describes the tensors is
 * read first: a file that will not do is refused before the rest of it is downloaded.
 *
 * @example
 * const { model, tokenizer } = await openModel(device, file, { onProgress: ({ loaded, total }) => bar.set(loaded / total) });
 *
 * @param source an address, a Response, a Blob or File, or bytes
 * @throws FileError whose `code` says what is wrong with the file or its address
 * @throws LimitError if a tensor, or the file, is too large
 * @throws the signal's reason once it aborts; nothing stays on the device after any of these
 */
export async function openModel(
  device: Device,
  source: ByteSource,
  options: OpenModelOptions = {},
): Promise<OpenedModel> {
  const file = await FileReading.open(source, options);
  try {
    const head = await file.head(HEAD_BYTES);
    if (looksLikeSafetensors(head)) {
      const start = await file.head(safetensorsDataStart(head, file.size ?? undefined));
      const { metadata, tensors, fileBytes } = parseSafetensorsHeader(start, file.size ?? undefined);
      const promised = metadata[OWN_KEY] === undefined ? foreign : own;
      const plan = await promised(device, tensors, metadata, options);
      const bytes = await file.all(fileBytes);
      return finish(plan, parseSafetensors(bytes).tensors, options);
    }
    if (looksLikePyTorch(head)) {
      const shapes = await pickledShapes(file);
      const plan = shapes && (await foreign(device, shapes, {}, options));
      const { tensors } = parsePyTorch(await file.all());
      return finish(plan ?? (await foreign(device, tensors, {}, options)), tensors, options);
    }
    throw unknownFile(file.name, head);
  } finally {
    file.close();
  }
}

/** What the begin of a `.pth` says of its tensors; null if it is longer than any, or stands elsewhere. */
async function pickledShapes(file: FileReading): Promise<Shapes | null> {
  for (let bytes = PICKLE_BYTES; bytes <= MOST_PICKLE_BYTES; bytes *= 4) {
    const head = await file.head(bytes);
    const shapes = parsePyTorchHead(head);
    if (shapes || head.length < bytes) return shapes;
  }
  return null;
}

function finish(
  { tokenizer, build }: Promised,
  tensors: ReadonlyMap<string, FileTensor>,
  { signal }: OpenModelOptions,
): OpenedModel {
  signal?.throwIfAborted();
  const built = build(tensors);
  return { ...built, tokenizer, kind: built.model.config.kind };
}

type Metadata = Readonly<Record<string, string>>;

/** A checkpoint of this engine. */
async function own(device: Device, _: Shapes, metadata: Metadata, options: OpenModelOptions): Promise<Promised> {
  const { config, tokenizer: description, training } = ownDescription(metadata);
  checkFits(device, config, options);
  const tokenizer = options.tokenizer ?? (await described(description));
  checkVocabulary(config, tokenizer);
  return {
    tokenizer,
    build: (tensors) => {
      const { parameters, others } = splitOwn(tensors);
      const model = modelOf(device, { config, parameters }, options);
      return { model, format: "ostinato", run: training ? { record: training, tensors: others } : null };
    },
  };
}

/** A model of another program. */
async function foreign(device: Device, shapes: Shapes, _: Metadata, options: OpenModelOptions): Promise<Promised> {
  const places = placesOf(shapes.keys());
  const { format, config: configOf, build } = formatOf([...places.values()].map(({ name }) => name));
  const placed = moved(shapes, places, ({ shape }) => ({ shape: [...shape].reverse() }));
  const config = configOf(placed, options);
  checkFits(device, config, options);
  const tokenizer = options.tokenizer ?? (config.vocabSize === 256 ? new ByteTokenizer() : null);
  if (tokenizer) checkVocabulary(config, tokenizer);
  return {
    tokenizer,
    build: (tensors) => {
      const state = moved(hostTensors(tensors), places, transposed);
      return { model: build(device, state, options), format, run: null };
    },
  };
}

/** The tensors of a file under this engine's names. */
function moved<T>(file: ReadonlyMap<string, T>, places: ReadonlyMap<string, Place>, turn: (value: T) => T) {
  const result = new Map<string, T>();
  for (const [original, { name, transposed }] of places) {
    if (result.has(name))
      throw new FileError(
        "duplicate-name",
        `openModel: the file has two tensors that are ${name}, one of them called ${original}; keep one of them`,
      );
    const value = file.get(original) as T;
    result.set(name, transposed ? turn(value) : value);
  }
  return result;
}

async function described(tokenizer: TokenizerDescription): Promise<Tokenizer> {
  try {
    return await restoreTokenizer(tokenizer);
  } catch (error) {
    throw error instanceof ValueError ? damaged(error) : error;
  }
}

function checkVocabulary({ kind, vocabSize }: ModelConfig, tokenizer: Tokenizer): void {
  if (fitsVocabulary(vocabSize, tokenizer)) return;
  throw new FileError(
    "vocabulary",
    `openModel: the tokenizer has ${tokenizer.vocabSize} tokens, but the file's ${kind} has ${vocabSize}; use the tokenizer that it was trained with`,
  );
}

function unknownFile(name: string, head: Uint8Array): FileError {
  const begin = String.fromCharCode(...head.subarray(0, 8)).replace(/[^ -~]/g, ".");
  return new FileError(
    "unknown-file",
    head.length === 0
      ? `openModel: ${name} is empty; load it again from its source`
      : `openModel: ${name} begins with ${JSON.stringify(begin)}, as no file does that this engine knows; it opens safetensors and the .pth and .pt of torch.save`,
  );
}
