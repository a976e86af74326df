/** Which kernel computes a matrix product, and with which knobs: the one place where shapes meet devices. */
import type directKernel from "../../kernels/matmul/direct.wgsl";
import type tiledKernel from "../../kernels/matmul/tiled.wgsl";
import type vectorKernel from "../../kernels/matmul/vector.wgsl";
import type { KnobValues } from "../gpu/kernel.ts";

/** Sizes of a product (M, K) x (K, N), `batch` times, and how its operands are stored. */
export interface ProductShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly batch: number;
  /** a is stored (K, M). */
  readonly transposeA: boolean;
  /** b is stored (N, K). */
  readonly transposeB: boolean;
  /** Bias or activation follow, which a product that is split along K cannot apply. */
  readonly epilogue: boolean;
}

export interface TiledChoice {
  readonly kernel: "tiled";
  /** Parts of K. */
  readonly splits: number;
  readonly knobs: TiledKnobs;
}

export type Choice =
  | TiledChoice
  | { readonly kernel: "direct" | "quads"; readonly knobs: DirectKnobs }
  | { readonly kernel: "vector"; readonly knobs: VectorKnobs };

/** Knobs whose values the launch needs too. */
export interface TiledKnobs extends KnobValues<typeof tiledKernel> {
  readonly WIDTH: number;
  readonly HEIGHT: number;
  readonly BLOCKS_M: 1 | 2;
  readonly BLOCKS_N: 1 | 2;
}
export interface DirectKnobs extends KnobValues<typeof directKernel> {
  readonly WIDTH: number;
  readonly HEIGHT: number;
}
export interface VectorKnobs extends KnobValues<typeof vectorKernel> {
  readonly WIDTH: number;
  readonly SLICES: number;
}

/** Rows up to which the vector kernel reads the matrix once for all of them. */
const VECTOR_ROWS = 4;
/** 128 x 128 tiles do twice the arithmetic for each element read, but only if there are enough to fill a GPU. */
const ENOUGH_LARGE_TILES = 64;
/** Workgroups that keep a GPU busy; fewer tiles are multiplied by splitting K. */
const ENOUGH_GROUPS = 128;
/** Shortest part of K that is worth a partial result of its own, which must be written and read again. */
const SHORTEST_PART = 128;

/** At the kernel's own DEPTH these tiles would take more than the 16 KiB of workgroup memory that every device has. */
const LARGE: TiledKnobs = { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 2, BLOCKS_N: 2, DEPTH: 8 };
const SMALL: TiledKnobs = { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 1, BLOCKS_N: 1 };
const DIRECT: DirectKnobs = { WIDTH: 8, HEIGHT: 4 };
/** Eight lanes read 128 bytes of a row of b in one go; where b is stored (N, K), sixteen lanes read 256. */
const VECTOR: VectorKnobs = { WIDTH: 8, SLICES: 16 };
const VECTOR_TRANSPOSED: VectorKnobs = { WIDTH: 4, SLICES: 16 };
/** On an emulation the barrier before adding up slices would take three quarters of the time. */
const VECTOR_UNSLICED: VectorKnobs = { WIDTH: 16, SLICES: 1 };

/** What a choice depends on besides the shape. */
export interface ProductDevice {
  /** A CPU emulates the GPU. */
  readonly software: boolean;
  has(feature: "subgroups"): boolean;
}

/** Chooses by shape and kind of device. */
export function choose(shape: ProductShape, device: ProductDevice): Choice {
  const { software } = device;
  // Decoding: few rows leave nearly all of a tile empty.
  if (fitsVector(shape)) {
    const onGpu = shape.transposeB ? VECTOR_TRANSPOSED : VECTOR;
    return { kernel: "vector", knobs: software ? VECTOR_UNSLICED : onGpu };
  }
  // An emulation's lanes gain nothing from sharing a tile, and its barriers cost more than the arithmetic.
  if (software) {
    const quads = device.has("subgroups") && fitsQuads(shape);
    // Idle rows of a workgroup would not be skipped there.
    const knobs = quads ? { ...DIRECT, HEIGHT: Math.min(DIRECT.HEIGHT, Math.ceil(shape.M / 8)) } : DIRECT;
    return { kernel: quads ? "quads" : "direct", knobs };
  }
  const knobs = tilesOf(shape, LARGE) * shape.batch >= ENOUGH_LARGE_TILES ? LARGE : SMALL;
  return { kernel: "tiled", splits: splitsOf(shape, tilesOf(shape, knobs)), knobs };
}

/** Whether the rows of an operand, as stored, divide into vectors of four. */
export function readsVectors({ M, N, K, transposeA, transposeB }: ProductShape): {
  readonly a: boolean;
  readonly b: boolean;
} {
  return { a: (transposeA ? M : K) % 4 === 0, b: (transposeB ? K : N) % 4 === 0 };
}

/** Whether the direct kernel for quads can do it. */
export function fitsQuads(shape: ProductShape): boolean {
  const vectors = readsVectors(shape);
  return vectors.a && vectors.b && shape.K % 4 === 0;
}

/** Whether the vector kernel can do it. */
export function fitsVector(shape: ProductShape): boolean {
  return shape.M <= VECTOR_ROWS && !shape.transposeA && fitsQuads(shape);
}

/** Tiles of one matrix of y. */
export function tilesOf({ M, N }: ProductShape, { WIDTH, HEIGHT, BLOCKS_M, BLOCKS_N }: TiledKnobs): number {
  return Math.ceil(M / (4 * HEIGHT * BLOCKS_M)) * Math.ceil(N / (4 * WIDTH * BLOCKS_N));
}

/** Weight gradients have few tiles and a long K: parts of K then give the GPU more to do at once. */
function splitsOf({ K, batch, epilogue }: ProductShape, tiles: number): number {
  if (epilogue) return 1;
  return Math.max(1, Math.min(Math.ceil(ENOUGH_GROUPS / (tiles * batch)), Math.floor(K / SHORTEST_PART)));
}
