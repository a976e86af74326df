import packKernel from "../../../kernels/rnn/pack.wgsl";
import { empty } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { fullOf } from "../half.ts";
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
    const weight = fullOf(weightHh);
    const buffers = { weight, bias: biasHh ?? weight, packed };
    const groups = [Math.ceil(columns / SIDE), Math.ceil(rows / SIDE)] as const;
    device.dispatch(packKernel, entry, buffers, params, groups, { WORD: cell.word, BIAS: Boolean(biasHh) });
    if (weight !== weightHh) weight.dispose();
  });
  return packed;
}
