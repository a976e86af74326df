/** How the attention kernels are laid out on a device. */
import type { Device } from "../../gpu/device.ts";
import { LimitError } from "../../gpu/errors.ts";

export type Pass = "forward" | "backward";

/** Knobs of kernels/attention/forward.wgsl and backward_*.wgsl: a tile has 4 HEIGHT rows and `others` of the other kind. */
export interface Tile {
  readonly WIDTH: number;
  readonly HEIGHT: number;
  readonly COLUMNS: number;
  /** KEYS or OTHERS. */
  readonly others: number;
}

/** Most vectors of a row that an invocation sums up in registers; the backward pass has two sums of each. */
const MOST_COLUMNS = { forward: 4, backward: 2 } as const;
const HEIGHTS = [16, 8, 4, 2, 1] as const;
const OTHERS = [32, 16, 8, 4] as const;
/** Invocations a workgroup: larger ones leave a GPU too few to choose from. */
const MOST_LANES = 96;
const VECTOR_BYTES = 16;

/** Bytes of workgroup memory that a tile takes: the sums of the kernels' declarations. */
export function tileBytes(pass: Pass, { WIDTH, HEIGHT, COLUMNS, others }: Tile): number {
  const pitch = COLUMNS * WIDTH + 1;
  const rows = (4 * HEIGHT + others) * pitch;
  const scores = others * HEIGHT;
  return VECTOR_BYTES * (pass === "forward" ? rows + scores + WIDTH * HEIGHT : 2 * (rows + scores));
}

/**
 * The tile for heads of `size` elements: the most scores at a time that `room` bytes of workgroup memory hold.
 * @throws LimitError if not even the smallest fits
 */
export function tileFor(pass: Pass, size: number, room: number): Tile {
  const vectors = Math.ceil(size / 4);
  const few = Math.ceil(vectors / 8);
  const COLUMNS = Math.min(few, MOST_COLUMNS[pass]);
  const WIDTH = Math.ceil(vectors / COLUMNS);
  let best: Tile | null = null;
  for (const HEIGHT of HEIGHTS) {
    for (const others of OTHERS) {
      const tile = { WIDTH, HEIGHT, COLUMNS, others };
      if (others > 4 * WIDTH || WIDTH * HEIGHT > MOST_LANES || tileBytes(pass, tile) > room) continue;
      if (!best || HEIGHT * others > best.HEIGHT * best.others) best = tile;
    }
  }
  if (best) return best;
  throw new LimitError(
    `attention: heads of ${size} elements need more than the ${room} bytes of workgroup memory that this device has; use smaller heads`,
  );
}

export function tileOf(device: Device, pass: Pass, size: number): Tile {
  return tileFor(pass, size, device.limits.maxComputeWorkgroupStorageSize);
}
