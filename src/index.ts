/**
 * Ostinato: WebGPU compute kernels for sequence models. Public names only; nothing inside src imports this file.
 * @module
 */
export { backward, type BackwardOptions } from "./autograd/backward.ts";
export { checkpoint } from "./autograd/checkpoint.ts";
export { type Backward, detach, type Grad, type GradSink, record } from "./autograd/graph.ts";
export { enableGrad, gradEnabled, noGrad } from "./autograd/mode.ts";
export { generate, type GenerateOptions } from "./generate/generate.ts";
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
export { writeSafetensors, type WriteTensor } from "./io/write.ts";
