import type { Device } from "../gpu/device.ts";
import { FileError } from "../gpu/errors.ts";
import type { FileTensor } from "../io/format.ts";
import type { StateDict } from "../nn/module.ts";
import type { TokenizerDescription } from "../text/tokenizer.ts";
import { type FileState, hostTensors } from "./fileState.ts";
import { filled, type WeightOptions } from "./filled.ts";
import type { LanguageModel, ModelConfig } from "./language.ts";
import { configFrom, createModel } from "./registry.ts";

/** The key of this engine's metadata in a safetensors file. */
export const OWN_KEY = "ostinato";
/** In front of the names of tensors that are no parameters. */
export const OWN_PREFIX = "ostinato.";

/** What the metadata of this engine's files say. */
export interface OwnDescription {
  readonly config: ModelConfig;
  readonly tokenizer: TokenizerDescription;
  /** The run in training, which src/train understands; null if only the model was saved. */
  readonly training: unknown;
}

/** A run in training as it stands in a file; `trainingOf` reads it. */
export interface SavedRun {
  readonly record: unknown;
  /** Its tensors, by their names in the file. */
  readonly tensors: FileState;
}

/** @throws FileError if the metadata are damaged, or of a kind of model that this engine lacks */
export function ownDescription(metadata: Readonly<Record<string, string>>): OwnDescription {
  try {
    const { config, tokenizer, training } = JSON.parse(metadata[OWN_KEY] as string);
    return { config: configFrom(config), tokenizer, training };
  } catch (error) {
    throw damaged(error);
  }
}

/** Parameters, and what else a file of this engine holds. */
export function splitOwn(tensors: ReadonlyMap<string, FileTensor>): { parameters: FileState; others: FileState } {
  const all = [...hostTensors(tensors)];
  const own = ([name]: (typeof all)[number]) => name.startsWith(OWN_PREFIX);
  return { parameters: new Map(all.filter((entry) => !own(entry))), others: new Map(all.filter(own)) };
}

/**
 * The model that a checkpoint of this engine describes, with its parameters.
 * @throws FileError if they do not fit the configuration; no memory is kept then
 */
export function modelOf(
  device: Device,
  { config, parameters }: { readonly config: ModelConfig; readonly parameters: StateDict },
  options: WeightOptions = {},
): LanguageModel {
  return filled(
    (init) => createModel(device, config, init),
    () => parameters,
    options,
  );
}

/** A description that cannot be read, as the error of its file. */
export function damaged(error: unknown): FileError {
  if (error instanceof FileError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new FileError(
    "checkpoint-metadata",
    `checkpoint: its description cannot be read (${reason}); the file is damaged`,
  );
}
