import packKernel from "../../../kernels/rnn/pack.wgsl";
import { empty } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Cell } from "./cell.ts";

/** Invocations along each side of a workgroup. */
const SIDE = 16;

/** Hidden weights of one direction. */
export interface HiddenWeights {
  /** [G H, H] */
  readonly weightHh: Tensor;
  /** [G H] */
  readonly biasHh?: Tensor | null;
}

/** A size rounded up, so that kernels take four values at a time. */
export function byFour(size: number): number {
  return Math.ceil(size / 4) * 4;
}

/** W_hh and b_hh of all directions as the forward kernels read them: [D, K + 1, H, word], K = H by four. */
export function packForward(cell: Cell, directions: readonly HiddenWeights[]): Tensor<"f32"> {
  const width = directions[0]?.weightHh.shape[1] as number;
  return pack(cell, directions, "forward", byFour(width) + 1, width * cell.word);
}

/**
 * W_hh, stored as halves, and b_hh of one direction as the kernels of single steps read them: [K + 2, R], K rows of
 * words of two halves, then the bias as bits of f32.
 */
export function packHalves(cell: Cell, { weightHh, biasHh }: HiddenWeights): Tensor<"u32"> {
  const { device, shape } = weightHh;
  const width = shape[1] as number;
  const inner = byFour(width);
  const row = Math.ceil((width * cell.word) / 2);
  const words = empty(device, [inner + 2, row], "u32");
  const groups = [Math.ceil(row / SIDE), Math.ceil((inner + 2) / SIDE)] as const;
  const buffers = { weight: weightHh, bias: biasHh ?? weightHh, words };
  const knobs = { WORD: cell.word, BIAS: Boolean(biasHh) };
  device.dispatch(packKernel, "halves", buffers, { width, inner, gates: cell.gates, start: 0 }, groups, knobs);
  return words;
}

/** W_hh of all directions as the backward kernels read it: [D, G H by four, H by four]. */
export function packBackward(cell: Cell, weights: readonly Tensor[]): Tensor<"f32"> {
  const width = weights[0]?.shape[1] as number;
  return pack(
    cell,
    weights.map((weightHh) => ({ weightHh })),
    "backward",
    byFour(cell.gates * width),
    byFour(width),
  );
}

function pack(
  cell: Cell,
  directions: readonly HiddenWeights[],
  entry: "forward" | "backward",
  rows: number,
  columns: number,
): Tensor<"f32"> {
  const { device, shape } = (directions[0] as HiddenWeights).weightHh;
  const width = shape[1] as number;
  const packed = empty(device, [directions.length, rows, columns]);
  directions.forEach(({ weightHh, biasHh }, d) => {
    const params = { width, inner: byFour(width), gates: cell.gates, start: d * rows * columns };
    const buffers = { weight: weightHh, bias: biasHh ?? weightHh, packed };
    const groups = [Math.ceil(columns / SIDE), Math.ceil(rows / SIDE)] as const;
    const knobs = { WORD: cell.word, BIAS: Boolean(biasHh), HALF: weightHh.half };
    device.dispatch(packKernel, entry, buffers, params, groups, knobs);
  });
  return packed;
}
