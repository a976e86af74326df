/** Which kernel computes a matrix product, and with which knobs: the one place where shapes meet devices. */
import {
  type DeviceKnobs,
  type DirectKnobs,
  type SumsKnobs,
  type TiledKnobs,
  type TunedDevice,
  tunedFor,
  type VectorKnobs,
} from "./tuned.ts";

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
  | { readonly kernel: "vector"; readonly knobs: VectorKnobs }
  | { readonly kernel: "sums"; readonly knobs: SumsKnobs };

/** Rows up to which the vector kernel reads the matrix once for all of them. */
const VECTOR_ROWS = 4;
/** Workgroups that keep a GPU busy; fewer tiles are multiplied by splitting K. */
const ENOUGH_GROUPS = 128;
/** Shortest part of K that is worth a partial result of its own, which must be written and read again. */
const SHORTEST_PART = 128;

/** What a choice depends on besides the shape. */
export interface ProductDevice extends TunedDevice {
  has(feature: "subgroups"): boolean;
}

/** Chooses by shape and kind of device. */
export function choose(shape: ProductShape, device: ProductDevice, knobs: DeviceKnobs = tunedFor(device)): Choice {
  const { tiles, direct, quads, vector, vectorTransposed, sums } = knobs;
  // Decoding: few rows leave nearly all of a tile empty.
  if (fitsVector(shape)) {
    // On an emulation the barrier after the sums would take most of the time.
    if (shape.transposeB && device.has("subgroups") && !device.software) return { kernel: "sums", knobs: sums };
    return { kernel: "vector", knobs: shape.transposeB ? vectorTransposed : vector };
  }
  // An emulation's lanes gain nothing from sharing a tile, and its barriers cost more than the arithmetic.
  if (device.software) {
    if (!device.has("subgroups") || !fitsQuads(shape)) return { kernel: "direct", knobs: direct };
    // Idle rows of a workgroup would not be skipped there.
    return { kernel: "quads", knobs: { ...quads, HEIGHT: Math.min(quads.HEIGHT, Math.ceil(shape.M / 8)) } };
  }
  const tile =
    shape.M <= 4 * tiles.short.HEIGHT
      ? tiles.short
      : tilesOf(shape, tiles.large) * shape.batch >= tiles.enough
        ? tiles.large
        : tiles.small;
  return { kernel: "tiled", splits: splitsOf(shape, tilesOf(shape, tile)), knobs: tile };
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

/** Weight gradients and products of few rows have few tiles: parts of K then give the GPU more to do at once. */
function splitsOf({ K, batch }: ProductShape, tiles: number): number {
  return Math.max(1, Math.min(Math.ceil(ENOUGH_GROUPS / (tiles * batch)), Math.floor(K / SHORTEST_PART)));
}
