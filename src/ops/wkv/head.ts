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
/** Invocations of a workgroup, and so channels of a head, on every device. */
const WIDEST = 256;
/** Vectors of four that the tiles of a kernel hold each: three or five tiles in 16 KiB. */
const TILE = { three: 256, five: 160 } as const;

/** Knobs of the kernels for heads of `size` channels, a lane a channel, and steps in workgroup memory by the number of tiles. */
export function headKnobs(size: number, tiles: keyof typeof TILE) {
  const VECTORS = Math.ceil(size / 4);
  let STEPS = SPAN;
  while (STEPS * VECTORS > TILE[tiles]) STEPS /= 2;
  return { LANES: VECTORS * 4, VECTORS, STEPS };
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
  if (size < 1 || size > WIDEST) {
    throw new ValueError(
      `${op}: a head of ${firstName} ${show(first.shape)} has ${size} channels; the kernels take 1 to ${WIDEST}`,
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
