import type { Device } from "../gpu/device.ts";
import { FileError } from "../gpu/errors.ts";
import { parseSafetensors } from "../io/safetensors.ts";
import { type WriteTensor, writeSafetensors } from "../io/write.ts";
import type { WeightOptions } from "../models/filled.ts";
import type { LanguageModel, ModelConfig } from "../models/language.ts";
import { damaged, modelOf, OWN_KEY, OWN_PREFIX, ownDescription, type SavedRun, splitOwn } from "../models/openOwn.ts";
import type { StateDict } from "../nn/module.ts";
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

/** A checkpoint as read from a file, on the host. */
export interface Checkpoint {
  readonly config: ModelConfig;
  readonly tokenizer: Tokenizer;
  /**
   * Under PyTorch's names. Values in f32 are views of the file, and halves are widened when they are asked for: a checkpoint
   * takes no memory besides its file. Copy before writing.
   */
  readonly parameters: StateDict;
  /** Null if only the model was saved. */
  readonly training: TrainingRecord | null;
}

const OPTIMIZER = `${OWN_PREFIX}optimizer.`;
const CARRIED = `${OWN_PREFIX}state.`;

/**
 * Writes a safetensors file: the parameters under their PyTorch names (any safetensors reader finds them), what
 * training needs to continue bit for bit under `ostinato.*`, and the configuration as metadata.
 */
export async function saveCheckpoint(
  model: LanguageModel,
  tokenizer: Tokenizer,
  training?: TrainingRecord,
): Promise<Uint8Array<ArrayBuffer>> {
  const halves = new Set([...model.namedParameters()].flatMap(([name, { half }]) => (half ? [name] : [])));
  const tensors = [...(await model.stateDict())].map(([name, { shape, values }]): [string, WriteTensor] => [
    name,
    { shape, data: values, ...(halves.has(name) && { dtype: "F16" }) },
  ]);
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
  return writeSafetensors(tensors, { [OWN_KEY]: metadata });
}

/**
 * Reads a checkpoint without touching the device; `modelOf` makes its model.
 * @param bytes the file, which the result looks into: leave it as it is
 * @throws FileError if the file is damaged, foreign or of an unknown kind
 */
export function readCheckpoint(bytes: ArrayBuffer | Uint8Array<ArrayBuffer>): Checkpoint {
  const { metadata, tensors } = parseSafetensors(bytes);
  if (metadata[OWN_KEY] === undefined) {
    throw new FileError(
      "foreign-checkpoint",
      "checkpoint: the file is valid safetensors but was not saved by this engine; open it with openModel, or load its tensors with parseSafetensors and loadStateDict",
    );
  }
  const { config, tokenizer, training } = ownDescription(metadata);
  const { parameters, others } = splitOwn(tensors);
  try {
    return {
      config,
      tokenizer: tokenizerFromJSON(tokenizer),
      parameters,
      training: training ? trainingOf({ record: training, tensors: others }) : null,
    };
  } catch (error) {
    throw damaged(error);
  }
}

/**
 * The run in training that `openModel` found beside a model, for `resume`. Its values are views of the file.
 * @throws FileError if it is damaged
 */
export function trainingOf({ record, tensors }: SavedRun): TrainingRecord {
  const { step, batches, generators, schedule, settings } = (record ?? {}) as TrainerState & TrainingRecord;
  if (step === undefined || schedule === undefined) throw damaged(new Error("it has no step, or no schedule"));
  const under = (prefix: string) =>
    [...tensors].flatMap(([name, value]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), value] as const] : [],
    );
  const optimizer: OptimizerState = new Map(under(OPTIMIZER).map(([name, { values }]) => [name, values]));
  return { state: { step, batches, generators, optimizer, carried: new Map(under(CARRIED)) }, schedule, settings };
}

/**
 * Reads a checkpoint and builds its model on a device, its weights as `options` say.
 * @throws FileError as `readCheckpoint`, or if the parameters do not fit the configuration; no memory is kept then
 */
export function loadCheckpoint(
  device: Device,
  bytes: ArrayBuffer | Uint8Array<ArrayBuffer>,
  options: WeightOptions = {},
): { readonly model: LanguageModel; readonly tokenizer: Tokenizer; readonly training: TrainingRecord | null } {
  const checkpoint = readCheckpoint(bytes);
  const { tokenizer, training } = checkpoint;
  return { model: modelOf(device, checkpoint, options), tokenizer, training };
}
