import type { Device } from "../gpu/device.ts";
import { FileError, LimitError } from "../gpu/errors.ts";
import { quoted } from "../io/format.ts";
import type { Parameter, StateDict } from "../nn/module.ts";
import { type Shape, show } from "../tensor/shape.ts";
import { unfilled, type WeightOptions } from "./filled.ts";
import { gpt2ConfigOf, gpt2FromCheckpoint } from "./gpt2/load.ts";
import type { LanguageModel, ModelConfig } from "./language.ts";
import { mambaConfigOf } from "./mamba/config.ts";
import { mambaFromCheckpoint } from "./mamba/model.ts";
import { createModel } from "./registry.ts";
import { rwkvConfigOf, rwkvFromCheckpoint } from "./rwkv/load.ts";

/** Shapes by name, as the header of a file tells them before the values are read. */
export type Shapes = ReadonlyMap<string, { readonly shape: Shape }>;

/** What the names and shapes of a file do not tell. */
export interface FormatOptions {
  /** RWKV: 1e-5 for files of version 5 that were made for rwkv.cpp; default 64e-5. */
  readonly headEps?: number | undefined;
  /** GPT-2: heads of attention; default those of 64 channels, as in all published sizes. */
  readonly heads?: number | undefined;
}

/** Models of other programs, by the names of their tensors. */
interface Format {
  readonly format: "rwkv" | "gpt2" | "mamba";
  /** A name that only this format has. */
  readonly mark: RegExp;
  /** @throws FileError if the names and shapes are not all there */
  config(shapes: Shapes, options: FormatOptions): ModelConfig;
  build(device: Device, state: StateDict, options: FormatOptions & WeightOptions): LanguageModel;
}

const gpt2Options = ({ heads }: FormatOptions) => (heads === undefined ? {} : { heads });

const FORMATS: readonly Format[] = [
  {
    format: "rwkv",
    mark: /^blocks\.\d+\.(att|ffn)\./,
    config: (shapes, { headEps }) => rwkvConfigOf(shapes, headEps),
    build: (device, state, { headEps, weights }) => rwkvFromCheckpoint(device, state, headEps, { weights }),
  },
  {
    format: "gpt2",
    mark: /^(transformer\.)?(wte\.weight|h\.\d+\.attn\.c_attn\.weight)$/,
    config: (shapes, options) => gpt2ConfigOf(shapes, gpt2Options(options)),
    build: (device, state, options) =>
      gpt2FromCheckpoint(device, state, { ...gpt2Options(options), weights: options.weights }),
  },
  {
    format: "mamba",
    mark: /^backbone\.layers\.\d+\.mixer\.A_log$/,
    config: mambaConfigOf,
    build: mambaFromCheckpoint,
  },
];

/** @throws FileError `unknown-model` if the names are those of no model that is known */
export function formatOf(names: Iterable<string>): Format {
  const all = [...names];
  const found = FORMATS.find(({ mark }) => all.some((name) => mark.test(name)));
  if (found) return found;
  const some = all.slice(0, 3).map(quoted).join(", ");
  throw new FileError(
    "unknown-model",
    `openModel: the file's tensors (${all.length ? `${some}, ${all.length} in all` : "none"}) are those of no model that is known; this engine opens its own checkpoints, RWKV 4 to 7, GPT-2 and Mamba`,
  );
}

/** @throws LimitError naming a tensor that is too large for the device, before it is downloaded or takes memory there */
export function checkFits(device: Device, config: ModelConfig, options: WeightOptions): void {
  const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
  const limit = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const model = unfilled((init) => createModel(device, config, init), options);
  try {
    const large = [...model.namedParameters()].find(([, { bytes }]) => bytes > limit);
    if (large) throw tooLarge(model, large, limit, limit === maxBufferSize);
  } finally {
    model.dispose();
  }
}

/** What is said of a parameter that is larger than the device binds; `model` is halved to see whether that would do. */
function tooLarge(
  model: LanguageModel,
  [name, large]: [string, Parameter],
  limit: number,
  buffer: boolean,
): LimitError {
  const { shape, bytes, half } = large;
  const stored = half ? "f16" : "f32";
  model.half();
  const fitsHalved = [...model.namedParameters()].every(([, { bytes }]) => bytes <= limit);
  const which = buffer ? "maxBufferSize" : "maxStorageBufferBindingSize";
  return new LimitError(
    `openModel: ${name} ${show(shape)} takes ${bytes} bytes as ${stored}, and this device binds at most ${limit} at once (${which}); use ${fitsHalved ? 'weights: "f16", ' : ""}a smaller model or another device`,
  );
}
