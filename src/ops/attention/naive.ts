import scoresKernel from "../../../kernels/attention/scores.wgsl";
import { record } from "../../autograd/graph.ts";
import { ValueError } from "../../gpu/errors.ts";
import { empty } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { product } from "../product.ts";
import { laidOut } from "./attention.ts";
import { additions, biasSteps, constantsOf } from "./launch.ts";
import type { AttentionOptions, Plan } from "./plan.ts";

/**
 * The same as `attention`, the plain way: the whole matrix of scores is computed, stored and read again, so memory and
 * traffic grow with Tq Tk. For comparison.
 * @param q [B, H, Tq, D]
 * @param k [B, Hkv, Tk, D]
 * @param v as k
 * @throws as `attention`
 */
export function naiveAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: Omit<AttentionOptions, "form"> = {},
): Tensor<"f32"> {
  const plan = laidOut("naiveAttention", q, k, v, options);
  if (plan.bias?.requiresGrad)
    throw new ValueError("naiveAttention: its bias gets no gradient; detach() it, or use attention");
  const { device } = q;
  const { keys, size } = plan;
  const { rows, matrices } = matricesOf(plan);
  const p = weightsOf(plan, q, k);
  const { params, groups, knobs } = launch(q, plan);
  const out = empty(device, q.shape);
  product(device, { a: p, b: v, out, M: rows, N: size, K: keys, batch: matrices });
  record("naiveAttention", [out], [q, k, v], [q, k, v, p], ([dy], _sink, [q, k, v, p]) => {
    if (!dy) return [null, null, null];
    const ds = empty(device, p.shape);
    product(device, { a: dy, b: v, out: ds, M: rows, N: keys, K: size, batch: matrices, transposeB: true });
    if (keys > 0) device.dispatch(scoresKernel, "backward", { p, dp: ds }, params, groups, knobs);
    const dq = empty(device, q.shape);
    product(device, { a: ds, b: k, out: dq, M: rows, N: size, K: keys, batch: matrices });
    const dk = empty(device, k.shape);
    product(device, { a: ds, b: q, out: dk, M: keys, N: size, K: rows, batch: matrices, transposeA: true });
    const dv = empty(device, v.shape);
    product(device, { a: p, b: dy, out: dv, M: keys, N: size, K: rows, batch: matrices, transposeA: true });
    ds.dispose();
    return [dq, dk, dv];
  });
  p.dispose();
  return out;
}

/**
 * What attention weights the values with, softmax(scale q k): each row has the sum 1, or 0 where a query sees no key. For
 * looking at; `attention` never stores them. Without gradient.
 * @param q [B, H, Tq, D]
 * @param k [B, Hkv, Tk, D]
 * @returns [B, H, Tq, Tk]
 */
export function attentionWeights(q: Tensor, k: Tensor, options: Omit<AttentionOptions, "form"> = {}): Tensor<"f32"> {
  return weightsOf(laidOut("attentionWeights", q, k, k, options), q, k);
}

/** The query heads of a group follow each other, so that they are one matrix to its key head. */
function matricesOf({ batch, heads, keyHeads, queries }: Plan): { readonly rows: number; readonly matrices: number } {
  return { rows: keyHeads === 0 ? 0 : (heads / keyHeads) * queries, matrices: batch * keyHeads };
}

function weightsOf(plan: Plan, q: Tensor, k: Tensor): Tensor<"f32"> {
  const { device } = q;
  const { batch, heads, queries, keys, size } = plan;
  const { rows, matrices } = matricesOf(plan);
  const p = empty(device, [batch, heads, queries, keys]);
  product(device, { a: q, b: k, out: p, M: rows, N: keys, K: size, batch: matrices, transposeB: true });
  const [mask, bias] = constantsOf(plan, q);
  const { params, groups, knobs } = launch(q, plan);
  if (keys > 0) device.dispatch(scoresKernel, "forward", { s: p, mask, bias }, params, groups, knobs);
  return p;
}

function launch({ device }: Tensor, plan: Plan) {
  const { batch, heads, queries, keys, left, right, scale } = plan;
  const rows = batch * heads * queries;
  const knobs = {
    // An emulation's barriers cost more than a lane's work.
    LANES: device.software ? 4 : 64,
    ROWS: device.software ? 8 : 1,
    ...additions(plan),
  };
  const params = { rows, heads, queries, keys, left, right, scale, bias_steps: biasSteps(plan) };
  return { params, groups: [Math.ceil(rows / knobs.ROWS)] as const, knobs };
}
