/** Cuts an attention into launches that are short enough. */
import type { Device } from "../../gpu/device.ts";
import type { Plan } from "./plan.ts";

/** Multiplications and additions that a slow phone's GPU, and an emulation, do in a fifth of a second. */
const MOST_WORK = { hardware: 1e10, software: 4e8 } as const;

/** Tiles of rows that one launch takes. */
export interface Slice {
  readonly first: number;
  readonly count: number;
}

/** Which rows are cut into tiles, and what is done with each pair of them and one of the other kind. */
export interface Cut {
  readonly rows: "queries" | "keys";
  /** Rows of a tile. */
  readonly height: number;
  /** Matrix products. */
  readonly products: number;
}

/**
 * Launches for all tiles of an attention, each of about `mostWork` multiplications: a page's frames wait behind a launch
 * on the same GPU, and drivers end one that takes seconds. What a tile computes does not depend on the cut.
 */
export function slicesOf(plan: Plan, cut: Cut, mostWork: number): Slice[] {
  const { batch, heads, queries, keys, size } = plan;
  const tiles = Math.ceil((cut.rows === "queries" ? queries : keys) / cut.height);
  const perPair = batch * heads * size * cut.products;
  const slices: Slice[] = [];
  let [first, work] = [0, 0];
  for (let tile = 0; tile < tiles; tile++) {
    const one = pairsOf(plan, cut, tile) * perPair;
    if (tile > first && work + one > mostWork) {
      slices.push({ first, count: tile - first });
      [first, work] = [tile, 0];
    }
    work += one;
  }
  if (tiles > first) slices.push({ first, count: tiles - first });
  return slices;
}

/** What one launch of this plan may take, by device unless the plan says. */
export function mostWorkOf({ launchWork }: Plan, { software }: Device): number {
  return launchWork ?? (software ? MOST_WORK.software : MOST_WORK.hardware);
}

/** Pairs of a query and a key that a tile goes through. */
function pairsOf({ queries, keys, left, right }: Plan, { rows, height }: Cut, tile: number): number {
  const shift = keys - queries;
  const byQuery = rows === "queries";
  const [own, others] = byQuery ? [queries, keys] : [keys, queries];
  const top = tile * height;
  const bottom = Math.min(top + height, own) - 1;
  // A query at position P sees keys P - left to P + right; a key j is seen from positions j - right to j + left.
  const [from, to] = byQuery
    ? [top + shift - left, bottom + shift + right]
    : [top - shift - right, bottom - shift + left];
  return height * Math.max(0, Math.min(others - 1, to) - Math.max(0, from) + 1);
}
