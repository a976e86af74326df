import type { Device, Groups } from "../gpu/device.ts";
import { type RowKnobs, tunedFor } from "./tuned.ts";

/** How a kernel that gives each row of a matrix LANES invocations is launched; the knobs are those of softmax.wgsl. */
export interface RowLaunch {
  /** Words a row: vectors of four where the row divides into them, else elements. */
  readonly words: number;
  readonly groups: Groups;
  readonly knobs: { readonly word: string; readonly WIDTH: number; readonly LANES: number; readonly ROWS: number };
}

/** Rows from which an emulation keeps its processor busy with one invocation a row; fewer get up to eight. */
const ENOUGH_ROWS = 16;

/**
 * Invocations a row and rows a workgroup for `rows` contiguous rows of `length` elements: long rows get many
 * invocations, short ones share a workgroup.
 */
export function launchRows(
  device: Device,
  rows: number,
  length: number,
  vectors = length % 4 === 0,
  knobs: RowKnobs = tunedFor(device).rows.other,
): RowLaunch {
  const { LANES, WORDS, GROUP } = knobs;
  const WIDTH = vectors ? knobs.WIDTH : 1;
  const words = length / WIDTH;
  const most = device.software && rows < ENOUGH_ROWS ? Math.max(8, LANES) : LANES;
  let lanes = 1;
  while (lanes < most && lanes * WORDS < words) lanes *= 2;
  const perGroup = Math.max(1, GROUP / lanes);
  return {
    words,
    groups: [Math.ceil(rows / perGroup)],
    knobs: { word: WIDTH === 4 ? "vec4f" : "f32", WIDTH, LANES: lanes, ROWS: perGroup },
  };
}
