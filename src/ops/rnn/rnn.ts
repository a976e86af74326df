import type { Tensor } from "../../tensor/tensor.ts";
import { rnnCells } from "./cell.ts";
import { recurrentLayer } from "./layer.ts";
import type { RecurrentOptions, RecurrentResult, RecurrentWeights } from "./types.ts";

export type Nonlinearity = keyof typeof rnnCells;

/**
 * One Elman layer over whole sequences: h = f(x W_ih^T + b_ih + h W_hh^T + b_hh), f tanh or relu. One or two directions.
 * @param x [T, B, I], or [B, T, I] with batchFirst
 * @param initial hidden state [D, B, H]; zeros if left out
 * @throws ShapeError or ValueError naming the tensor that does not fit
 */
export function rnnLayer(
  x: Tensor,
  directions: readonly RecurrentWeights[],
  initial?: Tensor | null,
  { nonlinearity = "tanh", ...options }: RecurrentOptions & { readonly nonlinearity?: Nonlinearity } = {},
): RecurrentResult {
  return recurrentLayer(rnnCells[nonlinearity], x, directions, { h: initial ?? null, c: null, start: null }, options);
}
