/** What the tuner may turn: for each set of knobs in src/ops/tuned.ts its candidates, and the products that try them. */
import { type Choice, type ProductShape, tilesOf } from "../../src/ops/choice.ts";
import type { DirectKnobs, ProductKnobs, SumsKnobs, TiledKnobs, TunedKnobs, VectorKnobs } from "../../src/ops/tuned.ts";

/** What is known of a device before it is tuned. */
export interface TunerDevice {
  readonly software: boolean;
  has(feature: "subgroups"): boolean;
}

/** Knobs that are searched together. */
export interface Family<K = unknown> {
  /** Where they stand in `ProductKnobs`, for instance `tiles.large`. */
  readonly name: string;
  /** Whether the device runs kernels with these knobs. */
  fits(device: TunerDevice): boolean;
  readonly candidates: readonly K[];
  readonly shapes: readonly ProductShape[];
  /** The candidate that a device has now. */
  now(knobs: ProductKnobs): K;
  choice(candidate: K, shape: ProductShape, knobs: ProductKnobs): Choice;
  /** The entry of the table with this candidate in it. */
  store(candidate: K, entry: TunedKnobs): TunedKnobs;
}

/** Limits that every device has: an entry of the table holds for all devices of an adapter. */
const MOST_INVOCATIONS = 256;
const WORKGROUP_BYTES = 16384;

function shape(M: number, K: number, N: number, transposeB = false): ProductShape {
  return { M, K, N, batch: 1, transposeA: false, transposeB };
}

/** All combinations of values by name. */
function grid<K extends object>(axes: { readonly [N in keyof K]: readonly K[N][] }): K[] {
  return Object.entries(axes).reduce<K[]>(
    (found, [name, values]) =>
      found.flatMap((one) => (values as readonly unknown[]).map((value) => ({ ...one, [name]: value }))),
    [{} as K],
  );
}

type Tile = Pick<TiledKnobs, "WIDTH" | "HEIGHT" | "BLOCKS_M" | "BLOCKS_N" | "DEPTH">;

/** Tiles of so many rows and columns, in all ways that a workgroup can hold. */
function tilesBetween(rows: readonly [number, number], columns: readonly [number, number]): Tile[] {
  const all = grid<Tile>({
    WIDTH: [8, 16, 32],
    HEIGHT: [4, 8, 16],
    BLOCKS_M: [1, 2],
    BLOCKS_N: [1, 2],
    DEPTH: [8, 16, 32],
  });
  return all.filter(({ WIDTH, HEIGHT, BLOCKS_M, BLOCKS_N, DEPTH }) => {
    const [M, N] = [4 * HEIGHT * BLOCKS_M, 4 * WIDTH * BLOCKS_N];
    const fits = WIDTH * HEIGHT <= MOST_INVOCATIONS && 4 * DEPTH * (M + N) <= WORKGROUP_BYTES;
    return fits && WIDTH * HEIGHT >= 64 && M >= rows[0] && M <= rows[1] && N >= columns[0] && N <= columns[1];
  });
}

function tile(
  name: "large" | "small" | "short",
  candidates: readonly Tile[],
  shapes: readonly ProductShape[],
): Family<TiledKnobs> {
  return {
    name: `tiles.${name}`,
    fits: ({ software }) => !software,
    candidates,
    shapes,
    now: ({ tiles }) => tiles[name],
    choice: (knobs) => ({ kernel: "tiled", splits: 1, knobs }),
    store: (knobs, entry) => ({ ...entry, tiles: { ...entry.tiles, [name]: knobs } }),
  };
}

/** Sizes between which the better of two tiles changes. */
const enough: Family<number> = {
  name: "tiles.enough",
  fits: ({ software }) => !software,
  candidates: [8, 16, 32, 64, 128, 256],
  shapes: [256, 512, 768, 1024, 2048].map((size) => shape(size, size, size)),
  now: ({ tiles }) => tiles.enough,
  choice: (count, shape, { tiles }) => {
    const knobs = tilesOf(shape, tiles.large) * shape.batch >= count ? tiles.large : tiles.small;
    return { kernel: "tiled", splits: 1, knobs };
  },
  store: (count, entry) => ({ ...entry, tiles: { ...entry.tiles, enough: count } }),
};

function direct(kernel: "direct" | "quads", shapes: readonly ProductShape[]): Family<DirectKnobs> {
  return {
    name: kernel,
    fits: (device) => device.software && (kernel === "direct" || device.has("subgroups")),
    candidates: grid({ WIDTH: [4, 8, 16, 32], HEIGHT: [1, 2, 4, 8] }),
    shapes,
    now: (knobs) => knobs[kernel],
    choice: (knobs) => ({ kernel, knobs }),
    store: (knobs, entry) => ({ ...entry, [kernel]: knobs }),
  };
}

function vector(name: "vector" | "vectorTransposed"): Family<VectorKnobs> {
  const transposed = name === "vectorTransposed";
  return {
    name,
    fits: (device) => device.software || !transposed || !device.has("subgroups"),
    candidates: grid({ WIDTH: [1, 2, 4, 8, 16, 32], SLICES: [1, 4, 8, 16, 32] }).filter(
      ({ WIDTH, SLICES }) => WIDTH * SLICES >= 8 && WIDTH * SLICES <= MOST_INVOCATIONS,
    ),
    shapes: [shape(1, 1024, 1024, transposed), shape(4, 512, 2048, transposed)],
    now: (knobs) => knobs[name],
    choice: (knobs) => ({ kernel: "vector", knobs }),
    store: (knobs, entry) => ({ ...entry, [name]: knobs }),
  };
}

const sums: Family<SumsKnobs> = {
  name: "sums",
  fits: (device) => !device.software && device.has("subgroups"),
  candidates: grid({ LANES: [32, 64, 128, 256] }),
  shapes: [shape(1, 1024, 1024, true), shape(1, 4096, 4096, true), shape(4, 512, 2048, true)],
  now: (knobs) => knobs.sums,
  choice: (knobs) => ({ kernel: "sums", knobs }),
  store: (knobs, entry) => ({ ...entry, sums: knobs }),
};

/** In the order in which they are searched: the last asks which of the tiles found before to take. */
export const FAMILIES: readonly Family[] = [
  direct("direct", [shape(96, 65, 129)]),
  direct("quads", [shape(256, 256, 256), shape(64, 256, 256, true)]),
  vector("vector"),
  vector("vectorTransposed"),
  sums,
  tile("short", tilesBetween([8, 16], [32, 256]), [shape(16, 1024, 1024, true)]),
  tile("small", tilesBetween([32, 64], [32, 64]), [shape(256, 512, 256), shape(512, 512, 512, true)]),
  tile("large", tilesBetween([64, 128], [64, 256]), [shape(1024, 1024, 1024), shape(2048, 512, 1024, true)]),
  enough,
] as readonly Family[];
