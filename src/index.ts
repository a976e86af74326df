/**
 * Ostinato: WebGPU compute kernels for sequence models. Public names only; nothing inside src imports this file.
 * @module
 */
export { type BackwardOptions, backward } from "./autograd/backward.ts";
export { checkpoint } from "./autograd/checkpoint.ts";
export { type Backward, detach, type Grad, type GradSink, record } from "./autograd/graph.ts";
export { enableGrad, gradEnabled, noGrad } from "./autograd/mode.ts";
export { type GenerateOptions, generate } from "./generate/generate.ts";
export { type GenerateTokensOptions, type SavedSession, Session } from "./generate/session.ts";
export type { Device, DeviceStats, Groups, HasStorage } from "./gpu/device.ts";
export * from "./gpu/errors.ts";
export type { Kernel, KnobValues, ParamValues } from "./gpu/kernel.ts";
export { type OpenOptions, openDevice } from "./gpu/open.ts";
export type { Plan } from "./gpu/plan.ts";
export type { MemoryStats } from "./gpu/pool.ts";
export { type KernelTime, profile } from "./gpu/timing.ts";
export { toFloat32, toInt32, toUint32 } from "./io/convert.ts";
export type { FileDType, FileTensor, SafetensorsFile } from "./io/format.ts";
export { parseSafetensors } from "./io/safetensors.ts";
export { type WriteTensor, writeSafetensors } from "./io/write.ts";
export type { Decoder, Forward, LanguageModel, ModelConfig } from "./models/language.ts";
export { type RecurrentConfig, RecurrentLanguageModel } from "./models/recurrent.ts";
export { createModel, type ModelKind, type ModelOption, modelKind, modelKinds } from "./models/registry.ts";
export type { RwkvConfig } from "./models/rwkv/config.ts";
export { rwkvConfigOf, rwkvFromCheckpoint } from "./models/rwkv/load.ts";
export { RwkvLanguageModel } from "./models/rwkv/model.ts";
export { ModelState } from "./models/state.ts";
export { type TransformerConfig, TransformerLanguageModel } from "./models/transformer.ts";
export { Dropout } from "./nn/dropout.ts";
export { Embedding } from "./nn/embedding.ts";
export type { InitOptions } from "./nn/init.ts";
export { Linear } from "./nn/linear.ts";
export { type HostTensor, Module, type Parameter, type StateDict } from "./nn/module.ts";
export { LayerNorm, type NormOptions, RMSNorm } from "./nn/norm.ts";
export {
  GRU,
  LSTM,
  type RecurrentForwardOptions,
  type RecurrentModuleOptions,
  type RecurrentOutput,
  type RecurrentState,
  RNN,
} from "./nn/rnn.ts";
export { TransformerBlock } from "./nn/transformer.ts";
export { argmax } from "./ops/argmax.ts";
export { attention, attentionWithLse, type LaidOutOptions } from "./ops/attention/attention.ts";
export { createCache, type KeyValueCache } from "./ops/attention/cache.ts";
export { type DecodeOptions, decodeAttention, decodePacked, prefillPacked } from "./ops/attention/decode.ts";
export { naiveAttention } from "./ops/attention/naive.ts";
export { attentionPacked, type PackedOptions } from "./ops/attention/packed.ts";
export type { AttentionOptions } from "./ops/attention/plan.ts";
export { add, div, maximum, minimum, mul, type Operand, pow, sub } from "./ops/binary.ts";
export { cast } from "./ops/cast.ts";
export { concat, stack } from "./ops/concat.ts";
export { type CrossEntropyOptions, crossEntropy } from "./ops/crossEntropy.ts";
export { dropout } from "./ops/dropout.ts";
export { type EmbeddingOptions, embedding } from "./ops/embedding.ts";
export { countNonFinite } from "./ops/finite.ts";
export { gather, indexSelect } from "./ops/gather.ts";
export { type LinearOptions, linear } from "./ops/linear.ts";
export { type MatmulOptions, matmul } from "./ops/matmul.ts";
export { groupNorm, layerNorm, rmsNorm } from "./ops/norm.ts";
export { type Axes, max, mean, min, type ReduceOptions, sum, sumTo } from "./ops/reduce.ts";
export { flatten, reshape, unsqueeze } from "./ops/reshape.ts";
export { Sampler, type SamplerOptions, type SamplerState, type SamplingOptions } from "./ops/sample.ts";
export { softmaxTop, type Top, topK } from "./ops/sampleTop.ts";
export { chunk, slice, split } from "./ops/slice.ts";
export { logSoftmax, softmax } from "./ops/softmax.ts";
export { permute, transpose } from "./ops/transpose.ts";
export {
  type Activation,
  abs,
  activate,
  affine,
  exp,
  gelu,
  geluTanh,
  log,
  logSigmoid,
  neg,
  reciprocal,
  relu,
  reluSquared,
  sigmoid,
  silu,
  softplus,
  sqrt,
  square,
  tanh,
} from "./ops/unary.ts";
export { equal, greater, less, where } from "./ops/where.ts";
export { tokenShift } from "./ops/wkv/shift.ts";
export { wkv4 } from "./ops/wkv/wkv4.ts";
export { wkv5, wkv6 } from "./ops/wkv/wkv6.ts";
export { wkv7 } from "./ops/wkv/wkv7.ts";
export { Adam, type AdamOptions, AdamW } from "./optim/adam.ts";
export type { OptimizerOptions, ParameterGroup, StepReport } from "./optim/optimizer.ts";
export {
  constantLr,
  cosineAnnealing,
  exponentialLr,
  linearWarmup,
  linearWarmupDecay,
  type Schedule,
  type ScheduleDescription,
  scheduleFrom,
  stepLr,
  warmupCosine,
} from "./optim/schedule.ts";
export { SGD, type SGDOptions } from "./optim/sgd.ts";
export { capture } from "./tensor/capture.ts";
export { empty, full, type Nested, ones, tensor, zeros } from "./tensor/create.ts";
export type { DType } from "./tensor/dtype.ts";
export { defaultGenerator, Generator, manualSeed, normal, uniform } from "./tensor/generator.ts";
export { Random, type RandomState } from "./tensor/philox.ts";
export { keep, scope } from "./tensor/scope.ts";
export type { Shape } from "./tensor/shape.ts";
export { Tensor } from "./tensor/tensor.ts";
export { type Batch, type Batches, type BatchState, randomBatches, streamBatches } from "./text/batches.ts";
export { ByteTokenizer } from "./text/bytes.ts";
export { CharTokenizer } from "./text/characters.ts";
export { type Corpus, readCorpus, splitIds } from "./text/corpus.ts";
export { tokenizerFromJSON } from "./text/restore.ts";
export type { TextStream, Tokenizer, TokenizerDescription } from "./text/tokenizer.ts";
export {
  type Checkpoint,
  loadCheckpoint,
  readCheckpoint,
  saveCheckpoint,
  type TrainingRecord,
} from "./train/checkpoint.ts";
export type { StepRecord } from "./train/history.ts";
export { bitsPerToken, perplexity } from "./train/metrics.ts";
export { Trainer, type TrainerOptions, type TrainerState, type TrainReport } from "./train/trainer.ts";
