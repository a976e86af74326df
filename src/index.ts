/**
 * Ostinato: WebGPU compute kernels for sequence models. Everything the narrower entry points export.
 * @module
 */
export * from "./entries/core.ts";
export * from "./entries/generate.ts";
export * from "./entries/io.ts";
export * from "./entries/models.ts";
export * from "./entries/nn.ts";
export * from "./entries/text.ts";
export * from "./entries/train.ts";
