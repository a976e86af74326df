/**
 * Device, tensors, operations and gradients.
 * @module ostinato
 */
// Public names only; nothing inside src imports this file.
export { type BackwardOptions, backward } from "../autograd/backward.ts";
export { checkpoint } from "../autograd/checkpoint.ts";
export { type Backward, detach, type Grad, type GradSink, record } from "../autograd/graph.ts";
export { enableGrad, gradEnabled, noGrad } from "../autograd/mode.ts";
export type { Device, DeviceStats, Groups, HasStorage } from "../gpu/device.ts";
export * from "../gpu/errors.ts";
export type { Kernel, KnobValues, ParamValues } from "../gpu/kernel.ts";
export { type OpenOptions, openDevice } from "../gpu/open.ts";
export type { Plan } from "../gpu/plan.ts";
export type { MemoryStats } from "../gpu/pool.ts";
export { type KernelTime, profile } from "../gpu/timing.ts";
export { addLayerNorm } from "../ops/addLayerNorm.ts";
export { argmax } from "../ops/argmax.ts";
export { attention, attentionWithLse, type LaidOutOptions } from "../ops/attention/attention.ts";
export { createCache, type KeyValueCache } from "../ops/attention/cache.ts";
export {
  type DecodeOptions,
  decodeAttention,
  decodePacked,
  type PrefillOptions,
  prefillPacked,
} from "../ops/attention/decode.ts";
export { attentionWeights, naiveAttention } from "../ops/attention/naive.ts";
export { attentionPacked, type PackedOptions } from "../ops/attention/packed.ts";
export type { AttentionOptions } from "../ops/attention/plan.ts";
export { type RotaryOptions, rotary, rotaryPacked, rotaryTable } from "../ops/attention/rotary.ts";
export { add, div, maximum, minimum, mul, type Operand, pow, sub } from "../ops/binary.ts";
export { cast } from "../ops/cast.ts";
export { concat, stack } from "../ops/concat.ts";
export { type CrossEntropyOptions, crossEntropy } from "../ops/crossEntropy.ts";
export { dropout } from "../ops/dropout.ts";
export { type EmbeddingOptions, embedding } from "../ops/embedding.ts";
export { countNonFinite } from "../ops/finite.ts";
export { gather, indexSelect } from "../ops/gather.ts";
export { toFull, toHalf } from "../ops/half.ts";
export { type LinearOptions, linear } from "../ops/linear.ts";
export { type MatmulOptions, matmul } from "../ops/matmul.ts";
export { groupNorm, layerNorm, rmsNorm } from "../ops/norm.ts";
export { type Axes, max, mean, min, type ReduceOptions, sum, sumTo } from "../ops/reduce.ts";
export { flatten, reshape, unsqueeze } from "../ops/reshape.ts";
export { fadingAttention } from "../ops/retention/fading.ts";
export { retentionNormalised } from "../ops/retention/normalised.ts";
export { retention, retentionDecays, retentionTurns } from "../ops/retention/retention.ts";
export { Sampler, type SamplerOptions, type SamplerState, type SamplingOptions } from "../ops/sample.ts";
export { softmaxTop, type Top, topK } from "../ops/sampleTop.ts";
export { type CausalConvOptions, causalConv1d } from "../ops/scan/conv.ts";
export { type ScanOptions, selectiveScan, selectiveScanPacked } from "../ops/scan/scan.ts";
export { type SsdOptions, ssd } from "../ops/scan/ssd.ts";
export { chunk, slice, split } from "../ops/slice.ts";
export { logSoftmax, softmax } from "../ops/softmax.ts";
export { permute, transpose } from "../ops/transpose.ts";
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
} from "../ops/unary.ts";
export { equal, greater, less, where } from "../ops/where.ts";
export { tokenShift } from "../ops/wkv/shift.ts";
export { wkv4 } from "../ops/wkv/wkv4.ts";
export { wkv5, wkv6 } from "../ops/wkv/wkv6.ts";
export { wkv7 } from "../ops/wkv/wkv7.ts";
export { capture } from "../tensor/capture.ts";
export { empty, full, type Nested, ones, tensor, zeros } from "../tensor/create.ts";
export type { DType } from "../tensor/dtype.ts";
export { type ExternalOptions, fromBuffer } from "../tensor/external.ts";
export { defaultGenerator, Generator, manualSeed, normal, uniform } from "../tensor/generator.ts";
export { Random, type RandomState } from "../tensor/philox.ts";
export { keep, scope } from "../tensor/scope.ts";
export type { Shape } from "../tensor/shape.ts";
export { Tensor } from "../tensor/tensor.ts";
