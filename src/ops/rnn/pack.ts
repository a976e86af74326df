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

/** W_hh and b_hh of all directions as the forward kernels read them: [D, H + 1, H, word]. */
export function packForward(cell: Cell, directions: readonly HiddenWeights[]): Tensor<"f32"> {
  const [first] = directions as [HiddenWeights];
  const { device } = first.weightHh;
  const width = first.weightHh.shape[1] as number;
  const size = (width + 1) * width * cell.word;
  const packed = empty(device, [directions.length, width + 1, width, cell.word]);
  directions.forEach(({ weightHh, biasHh }, d) => {
    const groups = [Math.ceil((width * cell.word) / SIDE), Math.ceil((width + 1) / SIDE)] as const;
    const params = { width, inner: width, gates: cell.gates, start: d * size };
    const buffers = { weight: weightHh, bias: biasHh ?? weightHh, packed };
    device.dispatch(packKernel, "forward", buffers, params, groups, { WORD: cell.word, BIAS: Boolean(biasHh) });
  });
  return packed;
}

/** W_hh of all directions as the backward kernels read it: [D, H, H, word]. */
export function packBackward(cell: Cell, weights: readonly Tensor[]): Tensor<"f32"> {
  const [first] = weights as [Tensor];
  const { device } = first;
  const width = first.shape[1] as number;
  const packed = empty(device, [weights.length, width, width, cell.word]);
  weights.forEach((weight, d) => {
    const groups = [Math.ceil((width * cell.word) / SIDE), Math.ceil(width / SIDE)] as const;
    const params = { width, inner: width, gates: cell.gates, start: d * width * width * cell.word };
    device.dispatch(packKernel, "backward", { weight, packed }, params, groups, { WORD: cell.word });
  });
  return packed;
}
