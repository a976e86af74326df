import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";

/** Sizes of a recurrence whose state is a matrix a head. */
export interface HeadSizes {
  readonly batch: number;
  readonly steps: number;
  readonly heads: number;
  /** Channels of a head. */
  readonly size: number;
}

export interface WkvResult {
  /** [B, T, H, N] */
  readonly y: Tensor<"f32">;
  /** [B, H, N, N], for the steps that follow. */
  readonly state: Tensor<"f32">;
}

/** Steps from a kept state to the next, SPAN of the kernels. */
export const SPAN = 16;
/** Channels of a head at most: its state, four by sixteen channels an invocation, fills a workgroup. */
const WIDEST = 128;
/** Invocations that a workgroup has if it can be filled with small heads. */
const LANES = 32;
/** Bytes for tiles in workgroup memory, of the 16 KiB that every device has. */
const TILES = 14.5 * 1024;

/**
 * Knobs of the kernels that run along a sequence, for heads of `size` channels: an invocation holds four value channels
 * by up to sixteen key channels.
 * @param tiles vectors that a step brings for each quad of key channels
 * @param partials vectors that a step leaves for each invocation, where several share the keys of a head
 */
export function headKnobs(size: number, tiles: number, partials: number) {
  const QUADS = Math.ceil(size / 4);
  const DEPTH = QUADS > 2 ? 4 : QUADS;
  const BLOCKS = Math.ceil(QUADS / DEPTH);
  const HEADS = Math.max(1, Math.floor(LANES / (BLOCKS * QUADS)));
  const shared = BLOCKS > 1 ? partials * BLOCKS * QUADS : 0;
  let STEPS = SPAN;
  while (STEPS > 1 && STEPS * HEADS * (tiles * BLOCKS * DEPTH + shared) * 16 > TILES) STEPS /= 2;
  return { HEADS, LANES: HEADS * BLOCKS * QUADS, QUADS, BLOCKS, DEPTH, STEPS };
}

/** Knobs of the kernels that work on key channels, up to `most` a workgroup, span by span. */
export function keyKnobs(size: number, most: number) {
  const KEYS = Math.min(most, Math.ceil(size / 4) * 4);
  return { KEYS, LANES: KEYS, groups: Math.ceil(size / KEYS) };
}

/**
 * Checks that all `rows` are [B, T, H, N] and the state fits.
 * @throws ShapeError or ValueError naming the tensor that does not fit
 */
export function checkHeads(op: string, rows: Readonly<Record<string, Tensor>>, state: Tensor | null): HeadSizes {
  checkFloats(op, ...Object.values(rows), ...(state ? [state] : []));
  const [[firstName, first], ...others] = Object.entries(rows) as [[string, Tensor], ...[string, Tensor][]];
  if (first.shape.length !== 4)
    throw new ShapeError(`${op}: ${firstName} is ${show(first.shape)}; it must be [B, T, H, N]`);
  const [batch, steps, heads, size] = first.shape as readonly [number, number, number, number];
  for (const [name, tensor] of others) {
    if (!sameShape(tensor.shape, first.shape)) {
      throw new ShapeError(
        `${op}: ${firstName} is ${show(first.shape)} and ${name} is ${show(tensor.shape)}; they must be equal`,
      );
    }
  }
  if (heads < 1 || size < 1 || size > WIDEST) {
    throw new ValueError(
      `${op}: ${firstName} ${show(first.shape)} has ${heads} heads of ${size} channels; there must be heads, of 1 to ${WIDEST} channels`,
    );
  }
  const square = [batch, heads, size, size];
  if (state && !sameShape(state.shape, square)) {
    throw new ShapeError(
      `${op}: state is ${show(state.shape)} and ${firstName} is ${show(first.shape)}; it must be ${show(square)}`,
    );
  }
  return { batch, steps, heads, size };
}
