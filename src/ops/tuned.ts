/** Knobs of kernels by adapter: what `npm run tune` found on it, else what is sane for its kind. */
import type directKernel from "../../kernels/matmul/direct.wgsl";
import type tiledKernel from "../../kernels/matmul/tiled.wgsl";
import type vectorKernel from "../../kernels/matmul/vector.wgsl";
import type sumsKernel from "../../kernels/matmul/vector_subgroup.wgsl";
import type { KnobValues } from "../gpu/kernel.ts";
import { MEASURED } from "./tunedTable.ts";

/** Knobs whose values the launch needs too. */
export interface TiledKnobs extends KnobValues<typeof tiledKernel> {
  readonly WIDTH: number;
  readonly HEIGHT: number;
  readonly BLOCKS_M: 1 | 2;
  readonly BLOCKS_N: 1 | 2;
  readonly DEPTH: number;
}
export interface DirectKnobs extends KnobValues<typeof directKernel> {
  readonly WIDTH: number;
  readonly HEIGHT: number;
}
export interface VectorKnobs extends KnobValues<typeof vectorKernel> {
  readonly WIDTH: number;
  readonly SLICES: number;
}
export interface SumsKnobs extends KnobValues<typeof sumsKernel> {
  readonly LANES: number;
}
/** How rows are shared out among invocations, by softmax.wgsl and norm.wgsl and what is launched like them. */
export interface RowKnobs {
  /** Most invocations a row. */
  readonly LANES: number;
  /** Words that an invocation takes before a row is spread over more of them. */
  readonly WORDS: number;
  /** Invocations a workgroup: short rows share one. */
  readonly GROUP: number;
  /** Elements of a word where rows divide into vectors. */
  readonly WIDTH: 1 | 4;
}

/** What kernels are launched with on a device. */
export interface DeviceKnobs {
  readonly tiles: {
    readonly large: TiledKnobs;
    readonly small: TiledKnobs;
    /** For products of few rows. */
    readonly short: TiledKnobs;
    /** Large tiles do more arithmetic for each element read, but only so many of them fill the device. */
    readonly enough: number;
  };
  readonly direct: DirectKnobs;
  readonly quads: DirectKnobs;
  readonly vector: VectorKnobs;
  /** Where b is stored (N, K); with subgroups `sums`. */
  readonly vectorTransposed: VectorKnobs;
  readonly sums: SumsKnobs;
  readonly rows: {
    readonly softmax: RowKnobs;
    readonly norm: RowKnobs;
    readonly other: RowKnobs;
  };
}

/** What the tuner found on an adapter; the rest is its kind's. */
export type TunedKnobs = Partial<Omit<DeviceKnobs, "tiles" | "rows">> & {
  readonly tiles?: Partial<DeviceKnobs["tiles"]>;
  readonly rows?: Partial<DeviceKnobs["rows"]>;
};

const GPU_ROWS: RowKnobs = { LANES: 256, WORDS: 4, GROUP: 64, WIDTH: 4 };
/** On an emulation a barrier costs about 20 ns for each invocation, so a row gets one, which needs none. */
const EMULATION_ROWS: RowKnobs = { LANES: 1, WORDS: 4, GROUP: 8, WIDTH: 4 };

/** All of these tiles fit the 16 KiB of workgroup memory that every device has. */
const GPU: DeviceKnobs = {
  tiles: {
    large: { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 2, BLOCKS_N: 2, DEPTH: 16 },
    small: { WIDTH: 16, HEIGHT: 16, BLOCKS_M: 1, BLOCKS_N: 1, DEPTH: 16 },
    short: { WIDTH: 32, HEIGHT: 4, BLOCKS_M: 1, BLOCKS_N: 1, DEPTH: 16 },
    enough: 64,
  },
  direct: { WIDTH: 8, HEIGHT: 4 },
  quads: { WIDTH: 8, HEIGHT: 4 },
  // Eight lanes read 128 bytes of a row of b in one go; where b is stored (N, K), sixteen lanes read 256.
  vector: { WIDTH: 8, SLICES: 16 },
  vectorTransposed: { WIDTH: 4, SLICES: 16 },
  sums: { LANES: 64 },
  rows: { softmax: GPU_ROWS, norm: GPU_ROWS, other: GPU_ROWS },
};

/** On an emulation the barrier before adding up slices would take three quarters of the time. */
const EMULATION: DeviceKnobs = {
  ...GPU,
  vector: { WIDTH: 16, SLICES: 1 },
  vectorTransposed: { WIDTH: 16, SLICES: 1 },
  rows: { softmax: EMULATION_ROWS, norm: EMULATION_ROWS, other: EMULATION_ROWS },
};

export interface TunedDevice {
  /** A CPU emulates the GPU. */
  readonly software: boolean;
  readonly info: Pick<GPUAdapterInfo, "vendor" | "architecture">;
}

/** The name under which an adapter's knobs are kept, such as `nvidia/hopper`. Browsers hide more than that. */
export function adapterKey({ info }: Pick<TunedDevice, "info">): string {
  return `${info.vendor}/${info.architecture}`;
}

/** By adapter. */
const TUNED: Readonly<Record<string, TunedKnobs>> = MEASURED;

/** Knobs by device: every launch asks for them. */
const known = new WeakMap<TunedDevice, DeviceKnobs>();

/** The knobs of a device; of an adapter that was never tuned, its kind's. */
export function tunedFor(device: TunedDevice, table = TUNED): DeviceKnobs {
  if (table !== TUNED) return find(device, table);
  const found = known.get(device) ?? find(device, table);
  known.set(device, found);
  return found;
}

function find(device: TunedDevice, table: Readonly<Record<string, TunedKnobs>>): DeviceKnobs {
  const base = device.software ? EMULATION : GPU;
  const own = table[adapterKey(device)];
  if (!own) return base;
  return { ...base, ...own, tiles: { ...base.tiles, ...own.tiles }, rows: { ...base.rows, ...own.rows } };
}
