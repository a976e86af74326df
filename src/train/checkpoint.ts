import type { Device } from "../gpu/device.ts";
import { FileError } from "../gpu/errors.ts";
import { toFloat32 } from "../io/convert.ts";
import { parseSafetensors } from "../io/safetensors.ts";
import { type WriteTensor, writeSafetensors } from "../io/write.ts";
import { filled } from "../models/filled.ts";
import type { LanguageModel, ModelConfig } from "../models/language.ts";
import { configFrom, createModel } from "../models/registry.ts";
import type { HostTensor, StateDict } from "../nn/module.ts";
import type { OptimizerState } from "../optim/optimizer.ts";
import type { ScheduleDescription } from "../optim/schedule.ts";
import { tokenizerFromJSON } from "../text/restore.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { TrainerState } from "./trainer.ts";

/** A run in training, as far as the model does not tell. */
export interface TrainingRecord {
  readonly state: TrainerState;
  readonly schedule: ScheduleDescription;
  /** Whatever the application wants back, as JSON: corpus, batch shape, seed. */
  readonly settings: unknown;
}

export interface Checkpoint {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  /** PyTorch's names. */
  readonly parameters: StateDict;
  /** Null if only the model was saved. */
  readonly training: TrainingRecord | null;
}

const KEY = "ostinato";
const OPTIMIZER = "ostinato.optimizer.";
const CARRIED = "ostinato.state.";

/**
 * Writes a safetensors file: the parameters under their PyTorch names (any safetensors reader finds them), what
 * training needs to continue bit for bit under `ostinato.*`, and the configuration as metadata.
 */
export async function saveCheckpoint(
  model: LanguageModel,
  tokenizer: Tokenizer,
  training?: TrainingRecord,
): Promise<Uint8Array<ArrayBuffer>> {
  const tensors: [string, WriteTensor][] = [];
  for (const [name, { shape, values }] of await model.stateDict()) tensors.push([name, { shape, data: values }]);
  if (training) {
    const { optimizer, carried } = training.state;
    for (const [name, values] of optimizer) tensors.push([OPTIMIZER + name, { shape: [values.length], data: values }]);
    for (const [name, { shape, values }] of carried) tensors.push([CARRIED + name, { shape, data: values }]);
  }
  const record = training && {
    step: training.state.step,
    batches: training.state.batches,
    generators: training.state.generators,
    schedule: training.schedule,
    settings: training.settings,
  };
  const metadata = JSON.stringify({ config: model.config, tokenizer: tokenizer.toJSON(), training: record ?? null });
  return writeSafetensors(tensors, { [KEY]: metadata });
}

/**
 * Reads a checkpoint without touching the device. Build the model with `createModel(device, config)` and
 * `model.loadStateDict(parameters)`.
 * @throws FileError if the file is damaged, foreign or of an unknown kind
 */
export function readCheckpoint(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): Checkpoint {
  const { metadata, tensors } = parseSafetensors(bytes);
  const text = metadata[KEY];
  if (text === undefined) {
    throw new FileError(
      "foreign-checkpoint",
      "checkpoint: the file is valid safetensors but was not saved by this engine; load its tensors with parseSafetensors and loadStateDict",
    );
  }
  const parameters = new Map<string, HostTensor>();
  const optimizer: OptimizerState = new Map();
  const carried = new Map<string, HostTensor>();
  for (const [name, entry] of tensors) {
    const host = { shape: entry.shape, values: toFloat32(entry, name).slice() };
    if (name.startsWith(OPTIMIZER)) optimizer.set(name.slice(OPTIMIZER.length), host.values);
    else if (name.startsWith(CARRIED)) carried.set(name.slice(CARRIED.length), host);
    else parameters.set(name, host);
  }
  try {
    const { config, tokenizer, training } = JSON.parse(text);
    return {
      config: configFrom(config),
      tokenizer: tokenizerFromJSON(tokenizer),
      parameters,
      training: training && {
        state: { step: training.step, batches: training.batches, generators: training.generators, optimizer, carried },
        schedule: training.schedule,
        settings: training.settings,
      },
    };
  } catch (error) {
    if (error instanceof FileError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new FileError(
      "checkpoint-metadata",
      `checkpoint: its description cannot be read (${reason}); the file is damaged`,
    );
  }
}

/**
 * Reads a checkpoint and builds its model on a device.
 * @throws FileError as `readCheckpoint`, or if the parameters do not fit the configuration; no memory is kept then
 */
export function loadCheckpoint(
  device: Device,
  bytes: ArrayBuffer | Uint8Array<ArrayBuffer>,
): { readonly model: LanguageModel; readonly tokenizer: Tokenizer; readonly training: TrainingRecord | null } {
  const { config, tokenizer, parameters, training } = readCheckpoint(bytes);
  const model = filled(createModel(device, config), parameters);
  return { model, tokenizer, training };
}
