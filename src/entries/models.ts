/**
 * Language models and their registry.
 * @module ostinato/models
 */
// Public names only; nothing inside src imports this file.
export { hostTensors } from "../models/fileState.ts";
export type { WeightOptions } from "../models/filled.ts";
export { type Gpt2Options, gpt2ConfigOf, gpt2FromCheckpoint } from "../models/gpt2/load.ts";
export type { Decoder, Forward, ForwardOptions, LanguageModel, ModelConfig } from "../models/language.ts";
export { type MambaConfig, mambaConfigOf } from "../models/mamba/config.ts";
export { MambaLanguageModel, mambaFromCheckpoint } from "../models/mamba/model.ts";
export { type OpenedModel, type OpenModelOptions, openModel } from "../models/open.ts";
export type { FormatOptions } from "../models/openFormat.ts";
export type { SavedRun } from "../models/openOwn.ts";
export { modelOf } from "../models/openOwn.ts";
export { type RecurrentConfig, RecurrentLanguageModel } from "../models/recurrent.ts";
export {
  createModel,
  type ModelKind,
  type ModelOption,
  type ModelSize,
  modelKind,
  modelKinds,
  widthOf,
} from "../models/registry.ts";
export type { RetNetConfig } from "../models/retnet/config.ts";
export { RetNetLanguageModel } from "../models/retnet/model.ts";
export type { RwkvConfig } from "../models/rwkv/config.ts";
export { rwkvConfigOf, rwkvFromCheckpoint } from "../models/rwkv/load.ts";
export { RwkvLanguageModel } from "../models/rwkv/model.ts";
export { StateTunedRwkv } from "../models/rwkv/tuned.ts";
export { ModelState } from "../models/state.ts";
export { TransformerLanguageModel } from "../models/transformer.ts";
export type { TransformerConfig } from "../models/transformerConfig.ts";
