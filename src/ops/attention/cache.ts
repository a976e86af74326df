import decodeKernel from "../../../kernels/attention/decode.wgsl";
import type { Device } from "../../gpu/device.ts";
import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats, checkWhole } from "../check.ts";
import type { Steps } from "./plan.ts";

export interface CacheSizes {
  readonly batch: number;
  /** Heads of k and v, Hkv. */
  readonly keyHeads: number;
  /** Head size, D. */
  readonly size: number;
  /** Tokens that fit; older ones are overwritten. */
  readonly capacity: number;
}

/**
 * Keys and values of one layer's last `capacity` tokens, as a ring: token n lies in slot n mod capacity. How many tokens
 * went before is not part of it but a tensor that callers keep, so that a captured step can count on.
 */
export interface KeyValueCache extends CacheSizes {
  /** [2, B, Hkv, capacity, W], W being D rounded up to 4, or half as many words with the bits of two halves each. */
  readonly slots: Tensor;
  readonly half: boolean;
}

/**
 * An empty cache.
 * @param options.half store keys and values as halves, in half the memory; arithmetic stays f32
 * @throws ValueError for a size below 1
 */
export function createCache(
  device: Device,
  sizes: CacheSizes,
  options: { readonly half?: boolean } = {},
): KeyValueCache {
  const { half = false } = options;
  for (const [name, value] of Object.entries(sizes)) {
    if (!Number.isInteger(value) || value < 1)
      throw new ValueError(`createCache: ${name} is ${value} and must be a whole number of 1 or more`);
  }
  return cacheOf(zeros(device, cacheShape(sizes, half)), sizes, half);
}

/** Shape of the slots of a cache. */
export function cacheShape({ batch, keyHeads, size, capacity }: CacheSizes, half = false): number[] {
  return [2, batch, keyHeads, capacity, wordsOf(size) * (half ? 2 : 4)];
}

/** A cache in a tensor of `cacheShape`. Two halves in a word of f32 are never NaN or infinite: they are clamped. */
export function cacheOf(slots: Tensor, sizes: CacheSizes, half = false): KeyValueCache {
  return { ...sizes, slots, half };
}

/** Words of four elements in a row of a cache. */
export function wordsOf(size: number): number {
  return Math.ceil(size / 4);
}

/**
 * Refuses to overwrite tokens that are still to be seen.
 * @param seen tokens before
 * @param added tokens that come
 * @param window tokens that each sees at most
 */
export function checkRoom(
  op: string,
  { capacity }: CacheSizes,
  seen: number,
  added: number,
  window = Number.POSITIVE_INFINITY,
): void {
  // The first of the added tokens still sees window - 1 before it when the last one is written.
  if (Math.min(seen, window - 1) + added <= capacity) return;
  throw new ValueError(
    window === Number.POSITIVE_INFINITY
      ? `${op}: the cache is full: it holds ${capacity} tokens, and ${seen} + ${added} are to be seen; make a larger cache or give a window`
      : `${op}: the cache holds ${capacity} tokens, and a window of ${window} with ${added} new tokens needs ${window - 1 + added}; make a larger cache or feed fewer at a time`,
  );
}

/** Where rows of k, v or q lie, in a tensor that may hold more. */
export interface Rows {
  readonly tensor: Tensor;
  readonly steps: Steps;
}

/** Whether the rows must be read element by element, and their steps in words. */
export function inWords(size: number, rows: readonly Rows[]) {
  const elements = [size, ...rows.flatMap(({ steps }) => steps)].some((n) => n % 4 !== 0);
  const words = (steps: Steps) => steps.map((n) => (elements ? n : n / 4));
  return { words, knobs: { ELEMENTS: elements, word: elements ? "f32" : "vec4f" } };
}

const NOWHERE: Steps = [0, 0, 0, 0];

/** Parameters and knobs of the decoding kernels; the rest has values that fit where they are not used. */
export function cacheSettings(cache: KeyValueCache, position: Tensor) {
  const { batch, keyHeads, size, capacity, half } = cache;
  const words = wordsOf(size);
  const none = [...NOWHERE];
  return {
    params: {
      heads: keyHeads,
      group: 1,
      size,
      slots: capacity,
      rows: 1,
      batch,
      step: position.size === 1 ? 0 : 1,
      window: 0,
      splits: 1,
      scale: 1,
      k_steps: none,
      v_steps: none,
      q_steps: none,
      y_steps: none,
    },
    knobs: { HALF: half, WORDS: words, count: position.dtype === "f32" ? "f32" : "u32" },
  };
}

/** Refuses counts of tokens that are neither one nor one a sequence. */
export function checkPosition(op: string, { batch }: KeyValueCache, position: Tensor): void {
  position.check(op);
  if (position.size !== 1 && position.size !== batch) {
    throw new ShapeError(
      `${op}: the position is ${show(position.shape)} and must be [1] or [${batch}], the tokens before these`,
    );
  }
}

/** Refuses lengths that are not one whole number a sequence. */
export function checkLengths(op: string, lengths: Tensor, batch: number): void {
  checkWhole(op, lengths);
  if (!sameShape(lengths.shape, [batch]))
    throw new ShapeError(`${op}: lengths are ${show(lengths.shape)} and must be [${batch}], one a sequence`);
}

/**
 * Writes `rows` new tokens of each sequence behind those so far.
 * @param lengths (B): tokens from there on are padding and are not written
 */
export function launchAppend(
  op: string,
  cache: KeyValueCache,
  k: Rows,
  v: Rows,
  rows: number,
  position: Tensor,
  lengths: Tensor | null = null,
): void {
  checkFloats(op, k.tensor, v.tensor);
  checkPosition(op, cache, position);
  if (lengths) checkLengths(op, lengths, cache.batch);
  if (rows > cache.capacity) {
    throw new ValueError(
      `${op}: ${rows} tokens do not fit into a cache of ${cache.capacity} at once; feed fewer at a time`,
    );
  }
  const { batch, keyHeads, size, slots } = cache;
  const { params, knobs } = cacheSettings(cache, position);
  const { words, knobs: reading } = inWords(size, [k, v]);
  const invocations = batch * keyHeads * rows * wordsOf(size);
  slots.device.dispatch(
    decodeKernel,
    "append",
    { position, k: k.tensor, v: v.tensor, slots, lengths: lengths ?? position },
    { ...params, rows, k_steps: words(k.steps), v_steps: words(v.steps) },
    [Math.ceil(invocations / 64)],
    { ...knobs, ...reading, LENGTHS: lengths !== null },
  );
}
