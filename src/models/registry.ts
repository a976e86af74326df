import type { Device } from "../gpu/device.ts";
import { FileError, ValueError } from "../gpu/errors.ts";
import type { InitOptions } from "../nn/init.ts";
import type { LanguageModel, ModelConfig } from "./language.ts";
import { mambaParameterCount } from "./mamba/config.ts";
import { MambaLanguageModel } from "./mamba/model.ts";
import { type RecurrentConfig, RecurrentLanguageModel } from "./recurrent.ts";
import { retnetParameterCount } from "./retnet/config.ts";
import { RetNetLanguageModel } from "./retnet/model.ts";
import { type RwkvKind, rwkvParameterCount } from "./rwkv/config.ts";
import { RwkvLanguageModel } from "./rwkv/model.ts";
import { TransformerLanguageModel } from "./transformer.ts";
import { completeTransformer } from "./transformerConfig.ts";

/** A size that a person can choose, with bounds that make sense. */
export interface ModelOption {
  readonly name: string;
  readonly label: string;
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly step: number;
}

/** What a person or a slider says of a model's size; each kind makes its own sizes of it. */
export interface ModelSize {
  readonly vocabSize: number;
  /** Channels of a layer: hidden units, or the width of the residual stream. */
  readonly width: number;
  readonly numLayers: number;
  /** Tokens that an attention layer can see; recurrent kinds have no such limit. */
  readonly contextLength?: number;
}

/** A kind of language model: what pages offer and checkpoints name. */
export interface ModelKind {
  readonly kind: string;
  readonly label: string;
  /** One sentence for people who choose. */
  readonly summary: string;
  /** Whether the state carries over from batch to batch in training. */
  readonly recurrent: boolean;
  readonly options: readonly ModelOption[];
  /** The configuration of a size, with the kind's defaults for everything else. */
  sized(size: ModelSize): ModelConfig;
  /** @throws ValueError if a size is missing or out of range */
  create(device: Device, config: ModelConfig, init?: InitOptions): LanguageModel;
  /** Trainable values of a configuration, without building it. */
  parameterCount(config: ModelConfig): number;
}

/** Heads of a width: as large as 64 channels each, but more than one where the width allows it. */
function headsOf(width: number): number {
  const size = [64, 32, 16, 8].find((size) => width % size === 0 && width / size >= 2);
  return size ? width / size : 1;
}

const recurrentOptions: readonly ModelOption[] = [
  { name: "embeddingSize", label: "Embedding", default: 64, min: 8, max: 1024, step: 8 },
  { name: "hiddenSize", label: "Hidden units", default: 256, min: 8, max: 2048, step: 8 },
  { name: "numLayers", label: "Layers", default: 1, min: 1, max: 8, step: 1 },
  { name: "dropout", label: "Dropout between layers", default: 0, min: 0, max: 0.9, step: 0.05 },
];

function recurrent(kind: RecurrentConfig["kind"], label: string, gates: number, summary: string): ModelKind {
  return {
    kind,
    label,
    summary,
    recurrent: true,
    options: recurrentOptions,
    sized: ({ vocabSize, width, numLayers }) => {
      const embeddingSize = 8 * Math.ceil(Math.min(width, Math.max(16, width / 4)) / 8);
      return { kind, vocabSize, embeddingSize, hiddenSize: width, numLayers, dropout: 0 };
    },
    create: (device, config, init) =>
      new RecurrentLanguageModel(device, checked(config, recurrentOptions) as RecurrentConfig, init),
    parameterCount: (config) => {
      const { vocabSize, embeddingSize, hiddenSize, numLayers } = config as RecurrentConfig;
      let count = vocabSize * embeddingSize + vocabSize * (hiddenSize + 1);
      for (let layer = 0; layer < numLayers; layer++) {
        const inputs = layer === 0 ? embeddingSize : hiddenSize;
        count += gates * hiddenSize * (inputs + hiddenSize + 2);
      }
      return count;
    },
  };
}

const transformerOptions: readonly ModelOption[] = [
  { name: "channels", label: "Width", default: 128, min: 8, max: 2048, step: 8 },
  { name: "heads", label: "Heads", default: 4, min: 1, max: 64, step: 1 },
  { name: "numLayers", label: "Layers", default: 2, min: 1, max: 48, step: 1 },
  { name: "contextLength", label: "Context", default: 256, min: 8, max: 4096, step: 8 },
  { name: "dropout", label: "Dropout", default: 0, min: 0, max: 0.9, step: 0.05 },
];

const transformer: ModelKind = {
  kind: "transformer",
  label: "Transformer",
  summary:
    "Every character looks back at those before it, as far as its context; learns fast, and remembers each of them.",
  recurrent: false,
  options: transformerOptions,
  sized: ({ vocabSize, width, numLayers, contextLength = 256 }) => ({
    ...{ kind: "transformer", vocabSize, channels: width, heads: headsOf(width) },
    ...{ numLayers, contextLength, dropout: 0, positions: "rotary" },
  }),
  create: (device, config, init) => new TransformerLanguageModel(device, checked(config, transformerOptions), init),
  parameterCount: (config) => {
    const { vocabSize, channels, numLayers, contextLength, positions } = completeTransformer(config);
    const rows = vocabSize + (positions === "learned" ? contextLength : 0) + 2;
    return rows * channels + numLayers * (12 * channels * channels + 13 * channels);
  },
};

const headed = { name: "heads", label: "Heads", default: 8, min: 1, max: 64, step: 1 };
const rwkvOptions: readonly ModelOption[] = [
  { name: "channels", label: "Width", default: 128, min: 8, max: 4096, step: 8 },
  headed,
  { name: "numLayers", label: "Layers", default: 2, min: 1, max: 64, step: 1 },
];

function rwkv(kind: RwkvKind, label: string, summary: string): ModelKind {
  const options = kind === "rwkv4" ? rwkvOptions.filter((option) => option !== headed) : rwkvOptions;
  return {
    kind,
    label,
    summary,
    recurrent: true,
    options,
    sized: ({ vocabSize, width, numLayers }) => {
      const config = { kind, vocabSize, channels: width, numLayers };
      return kind === "rwkv4" ? config : { ...config, heads: headsOf(width) };
    },
    create: (device, config, init) => new RwkvLanguageModel(device, checked(config, options), init),
    parameterCount: rwkvParameterCount,
  };
}

const retnet: ModelKind = {
  kind: "retnet",
  label: "RetNet",
  summary: "A Transformer whose attention fades with distance, so that it can also write like an RNN.",
  recurrent: true,
  options: rwkvOptions,
  sized: ({ vocabSize, width, numLayers }) => ({
    ...{ kind: "retnet", vocabSize, channels: width, heads: headsOf(width), numLayers },
  }),
  create: (device, config, init) => new RetNetLanguageModel(device, checked(config, rwkvOptions), init),
  parameterCount: retnetParameterCount,
};

const mambaOptions: readonly ModelOption[] = [
  { name: "channels", label: "Width", default: 128, min: 8, max: 4096, step: 8 },
  { name: "stateSize", label: "State", default: 16, min: 1, max: 256, step: 1 },
  { name: "numLayers", label: "Layers", default: 2, min: 1, max: 64, step: 1 },
];

const mamba: ModelKind = {
  kind: "mamba",
  label: "Mamba",
  summary: "No attention at all: each channel keeps a few numbers, and each character decides how they fade and fill.",
  recurrent: true,
  options: mambaOptions,
  sized: ({ vocabSize, width, numLayers }) => ({
    ...{ kind: "mamba", vocabSize, channels: width, stateSize: 16, numLayers },
  }),
  create: (device, config, init) =>
    new MambaLanguageModel(device, checked({ stateSize: 16, ...config }, mambaOptions), init),
  parameterCount: mambaParameterCount,
};

/** Every kind of language model, in the order in which pages list them. */
export const modelKinds: readonly ModelKind[] = [
  recurrent(
    "rnn",
    "RNN",
    1,
    "One tanh layer that feeds back into itself; forgets quickly, and shows why the others exist.",
  ),
  recurrent("gru", "GRU", 3, "Two gates decide what to keep; nearly as good as an LSTM at three quarters of its size."),
  recurrent("lstm", "LSTM", 4, "A protected memory cell with three gates; the classic character-level writer."),
  transformer,
  rwkv(
    "rwkv4",
    "RWKV-4",
    "Trains like a Transformer and writes like an RNN: each channel is a fading average of what it saw.",
  ),
  rwkv(
    "rwkv5.1",
    "RWKV-5, first form",
    "Keeps a small matrix a head instead of an average; one decay a head, no gate.",
  ),
  rwkv(
    "rwkv5.2",
    "RWKV-5",
    "Keeps a small matrix a head instead of an average, which every channel forgets at its own pace.",
  ),
  rwkv("rwkv6", "RWKV-6", "Decides from each character how fast to forget and how much to look back."),
  rwkv("rwkv7", "RWKV-7", "Rewrites its memory with every character, learning as it reads."),
  retnet,
  mamba,
];

/**
 * What the registry knows of a kind of model: its options, its sizes, how to build one.
 * @param kind its name, for instance `lstm`
 * @throws ValueError naming the kinds that exist
 */
export function modelKind(kind: string): ModelKind {
  const found = modelKinds.find((one) => one.kind === kind);
  if (!found)
    throw new ValueError(
      `modelKind: no model is called ${kind}; there are ${modelKinds.map((one) => one.kind).join(", ")}`,
    );
  return found;
}

/**
 * The width, a multiple of 8, at which a kind has about so many parameters: for comparing kinds at equal size.
 * @throws ValueError if even the smallest model has twice as many
 */
export function widthOf(kind: string, parameters: number, size: Omit<ModelSize, "width">): number {
  const { sized, parameterCount } = modelKind(kind);
  const count = (width: number) => parameterCount(sized({ ...size, width }));
  let [low, high] = [8, 8];
  if (count(low) > 2 * parameters) {
    throw new ValueError(
      `widthOf: ${kind} of width 8 already has ${count(low)} parameters; allow it more than ${parameters}, or fewer layers`,
    );
  }
  while (count(high) < parameters) high *= 2;
  while (high - low > 8) {
    const middle = 8 * Math.round((low + high) / 16);
    if (count(middle) < parameters) low = middle;
    else high = middle;
  }
  return parameters - count(low) < count(high) - parameters ? low : high;
}

/**
 * Builds a model from its configuration: a checkpoint's, or one of `modelKind(kind).sized`.
 * @throws ValueError for a kind that does not exist, or sizes that it cannot have
 */
export function createModel(device: Device, config: ModelConfig, init?: InitOptions): LanguageModel {
  return modelKind(config.kind).create(device, config, init);
}

/** @throws FileError if `value` is no configuration of a known kind */
export function configFrom(value: unknown): ModelConfig {
  const config = value as ModelConfig;
  const known = typeof value === "object" && value !== null && modelKinds.some(({ kind }) => kind === config.kind);
  if (!known)
    throw new FileError(
      "model-kind",
      `checkpoint: its model is ${JSON.stringify(config?.kind ?? value)}; this engine reads ${modelKinds.map(({ kind }) => kind).join(", ")}`,
    );
  checked(config, modelKind(config.kind).options);
  return config;
}

function checked(config: ModelConfig, options: readonly ModelOption[]): ModelConfig {
  if (!(Number.isInteger(config.vocabSize) && config.vocabSize > 0)) {
    throw new ValueError(`${config.kind}: vocabSize is ${config.vocabSize}; use the tokenizer's`);
  }
  for (const { name, min, step } of options) {
    const value = config[name];
    const whole = step < 1 || Number.isInteger(value);
    if (typeof value !== "number" || !Number.isFinite(value) || value < Math.min(min, 1) || !whole) {
      throw new ValueError(
        `${config.kind}: ${name} is ${value}; use a ${step < 1 ? "number" : "whole number"} of ${Math.min(min, 1)} or more`,
      );
    }
  }
  return config;
}
