/**
 * Layers under PyTorch's names.
 * @module ostinato/nn
 */
// Public names only; nothing inside src imports this file.
export { Dropout } from "../nn/dropout.ts";
export { Embedding } from "../nn/embedding.ts";
export type { InitOptions } from "../nn/init.ts";
export { Linear } from "../nn/linear.ts";
export { MambaMixer, type MambaMixerOptions, type MambaState } from "../nn/mamba/mixer.ts";
export { type HostTensor, Module, type Parameter, type StateDict } from "../nn/module.ts";
export {
  type AttendOptions,
  MultiheadAttention,
  type MultiheadAttentionOptions,
} from "../nn/multiheadAttention.ts";
export { LayerNorm, type NormOptions, RMSNorm } from "../nn/norm.ts";
export { type Positions, sinusoidalPositions } from "../nn/positions.ts";
export { RetNetBlock, type RetNetBlockOptions } from "../nn/retnet/block.ts";
export { MultiScaleRetention, type RetentionOptions, RetentionTables } from "../nn/retnet/retention.ts";
export {
  GRU,
  LSTM,
  type RecurrentForwardOptions,
  type RecurrentModuleOptions,
  type RecurrentOutput,
  type RecurrentState,
  RNN,
} from "../nn/rnn.ts";
export { TransformerBlock } from "../nn/transformer.ts";
export {
  type DecoderLayerOptions,
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
} from "../nn/transformerLayers.ts";
