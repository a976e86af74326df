/** What the tuner may turn: for each set of knobs in src/ops/tuned.ts its candidates, and the work that tries them. */
import { type Choice, type ProductShape, tilesOf } from "../../src/ops/choice.ts";
import type {
  DeviceKnobs,
  DirectKnobs,
  RowKnobs,
  SumsKnobs,
  TiledKnobs,
  TunedKnobs,
  VectorKnobs,
} from "../../src/ops/tuned.ts";
import type { Line } from "../line.ts";
import { productLine } from "./products.ts";
import { rowsLine } from "./rows.ts";

/** What is known of a device before it is tuned. */
export interface TunerDevice {
  readonly software: boolean;
  has(feature: "subgroups"): boolean;
}

/** Knobs that are searched together. */
export interface Family<K = unknown> {
  /** Where they stand in `DeviceKnobs`, for instance `tiles.large`. */
  readonly name: string;
  /** Whether the device runs kernels with these knobs. */
  fits(device: TunerDevice): boolean;
  readonly candidates: readonly K[];
  /** The work that a candidate is tried on, in a reader's words. */
  readonly work: readonly string[];
  /** The candidate that a device has now. */
  now(knobs: DeviceKnobs): K;
  /** A piece of the work with a candidate, as a line of the bench; its inputs and results are the same for all. */
  line(candidate: K, piece: number, knobs: DeviceKnobs): Line;
  /** The entry of the table with this candidate in it. */
  store(candidate: K, entry: TunedKnobs): TunedKnobs;
}

/** Knobs of matrix products. */
export interface ProductFamily<K = unknown> extends Family<K> {
  readonly shapes: readonly ProductShape[];
  choice(candidate: K, shape: ProductShape, knobs: DeviceKnobs): Choice;
}

type ProductSearch<K> = Omit<ProductFamily<K>, "work" | "line">;

function products<K>(search: ProductSearch<K>): ProductFamily<K> {
  const { name, shapes, choice } = search;
  return {
    ...search,
    work: shapes.map(({ M, K, N, transposeB }) => `${M}x${K}x${N}${transposeB ? " transposed" : ""}`),
    line: (candidate, piece, knobs) => {
      const shape = shapes[piece] as ProductShape;
      return productLine(name, shape, choice(candidate, shape, knobs));
    },
  };
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
  return products<TiledKnobs>({
    name: `tiles.${name}`,
    fits: ({ software }) => !software,
    candidates,
    shapes,
    now: ({ tiles }) => tiles[name],
    choice: (knobs) => ({ kernel: "tiled", splits: 1, knobs }),
    store: (knobs, entry) => ({ ...entry, tiles: { ...entry.tiles, [name]: knobs } }),
  });
}

/** Sizes between which the better of two tiles changes. */
const enough = products<number>({
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
});

function direct(kernel: "direct" | "quads", shapes: readonly ProductShape[]): Family<DirectKnobs> {
  return products<DirectKnobs>({
    name: kernel,
    fits: (device) => device.software && (kernel === "direct" || device.has("subgroups")),
    candidates: grid({ WIDTH: [4, 8, 16, 32], HEIGHT: [1, 2, 4, 8] }),
    shapes,
    now: (knobs) => knobs[kernel],
    choice: (knobs) => ({ kernel, knobs }),
    store: (knobs, entry) => ({ ...entry, [kernel]: knobs }),
  });
}

function vector(name: "vector" | "vectorTransposed"): Family<VectorKnobs> {
  const transposed = name === "vectorTransposed";
  return products<VectorKnobs>({
    name,
    fits: (device) => device.software || !transposed || !device.has("subgroups"),
    candidates: grid({ WIDTH: [1, 2, 4, 8, 16, 32], SLICES: [1, 4, 8, 16, 32] }).filter(
      ({ WIDTH, SLICES }) => WIDTH * SLICES >= 8 && WIDTH * SLICES <= MOST_INVOCATIONS,
    ),
    shapes: [shape(1, 1024, 1024, transposed), shape(4, 512, 2048, transposed)],
    now: (knobs) => knobs[name],
    choice: (knobs) => ({ kernel: "vector", knobs }),
    store: (knobs, entry) => ({ ...entry, [name]: knobs }),
  });
}

const sums = products<SumsKnobs>({
  name: "sums",
  fits: (device) => !device.software && device.has("subgroups"),
  candidates: grid({ LANES: [32, 64, 128, 256] }),
  shapes: [shape(1, 1024, 1024, true), shape(1, 4096, 4096, true), shape(4, 512, 2048, true)],
  now: (knobs) => knobs.sums,
  choice: (knobs) => ({ kernel: "sums", knobs }),
  store: (knobs, entry) => ({ ...entry, sums: knobs }),
});

/** Rows of many lengths: an entry holds for all. */
const ROWS: readonly (readonly [rows: number, length: number])[] = [
  [1024, 1024],
  [2048, 96],
  [64, 8192],
];

/** An emulation gains nothing from many invocations a row, a GPU nothing from few. */
function rows(name: "softmax" | "norm", software: boolean): Family<RowKnobs> {
  const all = software
    ? grid<RowKnobs>({ LANES: [1, 2, 4], WORDS: [4], GROUP: [1, 4, 8, 16, 32, 64], WIDTH: [1, 4] })
    : grid<RowKnobs>({ LANES: [32, 64, 128, 256], WORDS: [1, 2, 4, 8], GROUP: [32, 64, 128, 256], WIDTH: [4] });
  return {
    name: `rows.${name}`,
    fits: (device) => device.software === software,
    candidates: all.filter(({ LANES, GROUP }) => GROUP >= LANES),
    work: ROWS.map(([count, length]) => `${count}x${length}`),
    now: ({ rows }) => rows[name],
    line: (knobs, piece) => rowsLine(name, ...(ROWS[piece] as readonly [number, number]), knobs),
    store: (knobs, entry) => ({ ...entry, rows: { ...entry.rows, [name]: knobs } }),
  };
}

/** In the order in which they are searched: `enough` asks which of the tiles found before to take. */
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
  rows("softmax", true),
  rows("norm", true),
  rows("softmax", false),
  rows("norm", false),
] as readonly Family[];
