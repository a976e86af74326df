import type { Tensor } from "../../tensor/tensor.ts";
import { lstmCell } from "./cell.ts";
import { recurrentLayer } from "./layer.ts";
import { projectedLayer } from "./projection.ts";
import type { LstmResult, LstmState, LstmWeights, RecurrentOptions } from "./types.ts";

/**
 * One LSTM layer over whole sequences: i, f, o = sigmoid and g = tanh of x W_ih^T + b_ih + h W_hh^T + b_hh;
 * c = f c + i g, h = o tanh(c). One or two directions.
 * @param x [T, B, I], or [B, T, I] with batchFirst
 * @param initial zeros if left out
 * @throws ShapeError or ValueError naming the tensor that does not fit
 */
export function lstmLayer(
  x: Tensor,
  directions: readonly LstmWeights[],
  initial?: LstmState | null,
  options?: RecurrentOptions,
): LstmResult {
  if (directions[0]?.weightHr) return projectedLayer(x, directions, initial ?? null, options);
  const state = { h: initial?.h ?? null, c: initial?.c ?? null, start: null };
  return recurrentLayer(lstmCell, x, directions, state, options) as LstmResult;
}
