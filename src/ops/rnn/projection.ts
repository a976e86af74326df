import { ShapeError } from "../../gpu/errors.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkWeight } from "../check.ts";
import { concat } from "../concat.ts";
import { fullOf } from "../half.ts";
import { linear } from "../linear.ts";
import { matmul } from "../matmul.ts";
import { slice } from "../slice.ts";
import { lstmCell } from "./cell.ts";
import { recurrentLayer } from "./layer.ts";
import type { LstmResult, LstmState, LstmWeights, RecurrentOptions } from "./types.ts";

/**
 * An LSTM with projection, h = m W_hr^T with m = o tanh(c), is the plain LSTM over m whose hidden weight is W_hh W_hr;
 * only the first step differs, because its h0 comes from outside: h0 W_hh^T enters the gates' sums there. So the
 * projections of all steps are one matrix product, and the recurrence is the same kernel.
 * Lengths of 0 give a final h of zeros.
 */
export function projectedLayer(
  x: Tensor,
  directions: readonly LstmWeights[],
  initial: LstmState | null,
  options: RecurrentOptions = {},
): LstmResult {
  const batch = x.shape[options.batchFirst ? 0 : 1] as number;
  const runs = directions.map((weights, d) => {
    const { weightHh, weightHr } = weights as LstmWeights & { weightHr: Tensor };
    checkProjection(weightHh, weightHr, initial?.h, directions.length, batch);
    const of = (state: Tensor): Tensor => (directions.length === 1 ? state : slice(state, 0, d, d + 1));
    const start = initial ? linear(of(initial.h), weightHh) : null;
    const state = { h: null, c: initial ? of(initial.c) : null, start };
    const reverse = directions.length === 2 ? d === 1 : options.reverse;
    const run = recurrentLayer(lstmCell, x, [{ ...weights, weightHh: matmul(fullOf(weightHh), weightHr) }], state, {
      ...options,
      reverse,
    });
    const steps = x.shape[options.batchFirst ? 1 : 0];
    const h = steps === 0 && initial ? of(initial.h) : linear(run.h, weightHr);
    return { y: linear(run.y, weightHr), h: h as Tensor<"f32">, c: run.c as Tensor<"f32"> };
  });
  const [only] = runs as [LstmResult];
  if (runs.length === 1) return only;
  return {
    y: concat(
      runs.map(({ y }) => y),
      -1,
    ),
    h: concat(runs.map(({ h }) => h)),
    c: concat(runs.map(({ c }) => c)),
  };
}

function checkProjection(
  weightHh: Tensor,
  weightHr: Tensor,
  h0: Tensor | undefined,
  directions: number,
  batch: number,
): void {
  for (const weight of [weightHh, weightHr]) checkWeight("lstm", weight);
  const [rows = 0, P = 0] = weightHh.shape;
  if (!sameShape(weightHr.shape, [P, rows / 4])) {
    throw new ShapeError(
      `lstm: weightHr is ${show(weightHr.shape)} and weightHh ${show(weightHh.shape)}; with a projection they must be [P, H] and [4 H, P]`,
    );
  }
  if (h0 && !sameShape(h0.shape, [directions, batch, P])) {
    throw new ShapeError(
      `lstm: h0 is ${show(h0.shape)}; it must be ${show([directions, batch, P])}, [directions, B, P]`,
    );
  }
}
