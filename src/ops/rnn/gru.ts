import type { Tensor } from "../../tensor/tensor.ts";
import { gruCell } from "./cell.ts";
import { recurrentLayer } from "./layer.ts";
import type { RecurrentOptions, RecurrentResult, RecurrentWeights } from "./types.ts";

/**
 * One GRU layer over whole sequences; rows of the parameters in blocks r, z, n. With a = x W_ih^T + b_ih and
 * b = h W_hh^T + b_hh: r, z = sigmoid(a + b), n = tanh(a + r b), h = (1 - z) n + z h. One or two directions.
 * @param x [T, B, I], or [B, T, I] with batchFirst
 * @param initial hidden state [D, B, H]; zeros if left out
 * @throws ShapeError or ValueError naming the tensor that does not fit
 */
export function gruLayer(
  x: Tensor,
  directions: readonly RecurrentWeights[],
  initial?: Tensor | null,
  options?: RecurrentOptions,
): RecurrentResult {
  return recurrentLayer(gruCell, x, directions, { h: initial ?? null, c: null, start: null }, options);
}
