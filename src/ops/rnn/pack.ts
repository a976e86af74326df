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

/** Rows of packed weights: H rounded up, so that kernels take four at a time. */
export function innerOf(width: number): number {
  return Math.ceil(width / 4) * 4;
}

/** W_hh and b_hh of all directions as the forward kernels read them: [D, K + 1, H, word], K the inner width. */
export function packForward(cell: Cell, directions: readonly HiddenWeights[]): Tensor<"f32"> {
  return pack(cell, directions, "forward");
}

/** W_hh of all directions as the backward kernels read it: [D, K, H, word]. */
export function packBackward(cell: Cell, weights: readonly Tensor[]): Tensor<"f32"> {
  return pack(cell, weights.map((weightHh) => ({ weightHh })), "backward");
}

function pack(cell: Cell, directions: readonly HiddenWeights[], entry: "forward" | "backward"): Tensor<"f32"> {
  const [{ weightHh: first }] = directions as [HiddenWeights];
  const width = first.shape[1] as number;
  const inner = innerOf(width);
  const rows = entry === "forward" ? inner + 1 : inner;
  const packed = empty(first.device, [directions.length, rows, width, cell.word]);
  const groups = [Math.ceil((width * cell.word) / SIDE), Math.ceil(rows / SIDE)] as const;
  directions.forEach(({ weightHh, biasHh }, d) => {
    const params = { width, inner, gates: cell.gates, start: d * rows * width * cell.word };
    const buffers = { weight: weightHh, bias: biasHh ?? weightHh, packed };
    first.device.dispatch(packKernel, entry, buffers, params, groups, { WORD: cell.word, BIAS: Boolean(biasHh) });
  });
  return packed;
}
