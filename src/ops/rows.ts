import type { Device, Groups } from "../gpu/device.ts";

/** How a kernel that gives each row of a matrix LANES invocations is launched; the knobs are those of softmax.wgsl. */
export interface RowLaunch {
  /** Words a row: vectors of four where the row divides into them, else elements. */
  readonly words: number;
  readonly groups: Groups;
  readonly knobs: { readonly word: string; readonly WIDTH: number; readonly LANES: number; readonly ROWS: number };
}

/** Words that an invocation takes before a row is spread over more of them. */
const WORDS_A_LANE = 4;
/** Rows from which an emulation keeps its processor busy with one invocation a row. */
const ENOUGH_ROWS = 16;

/**
 * Invocations a row and rows a workgroup for `rows` contiguous rows of `length` elements: long rows get many
 * invocations, short ones share a workgroup. On an emulated GPU a barrier costs about 20 ns for each invocation,
 * so there a row gets one, which needs none, or where rows are few, eight.
 */
export function launchRows(device: Device, rows: number, length: number, vectors = length % 4 === 0): RowLaunch {
  const words = vectors ? length / 4 : length;
  const { most, workgroup } = device.software
    ? { most: rows < ENOUGH_ROWS ? 8 : 1, workgroup: 8 }
    : { most: 256, workgroup: 64 };
  let lanes = 1;
  while (lanes < most && lanes * WORDS_A_LANE < words) lanes *= 2;
  const perGroup = Math.max(1, workgroup / lanes);
  return {
    words,
    groups: [Math.ceil(rows / perGroup)],
    knobs: { word: vectors ? "vec4f" : "f32", WIDTH: vectors ? 4 : 1, LANES: lanes, ROWS: perGroup },
  };
}
