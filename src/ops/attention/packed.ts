import { record } from "../../autograd/graph.ts";
import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { empty } from "../../tensor/create.ts";
import { show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { constantsOf, launchBackward, launchForward } from "./launch.ts";
import { type AttentionOptions, type Plan, planOf, type Steps } from "./plan.ts";

/** Options of `attentionPacked`. */
export interface PackedOptions extends AttentionOptions {
  /** Heads of k and v, Hkv; default as many as of q. */
  readonly keyHeads?: number;
}

/**
 * Self-attention on what one projection to q, k and v left, as in GPT-2: no copy splits it or brings its heads forward,
 * and its gradient is one tensor again.
 * @param qkv [B, T, (H + 2 Hkv) D]: in each row the heads of q, then those of k, then those of v
 * @param heads H
 * @returns [B, T, H D], ready for the output projection
 * @throws ShapeError if the columns do not divide into heads
 */
export function attentionPacked(qkv: Tensor, heads: number, options: PackedOptions = {}): Tensor<"f32"> {
  const plan = packedPlan(qkv, heads, options);
  if (plan.bias?.requiresGrad)
    throw new ValueError("attentionPacked: its bias gets no gradient; detach() it, or use attention");
  const { device } = qkv;
  const out = empty(device, [plan.batch, plan.queries, heads * plan.size]);
  const norms = empty(device, [plan.batch, heads, plan.queries, 2]);
  launchForward(plan, { q: qkv, k: qkv, v: qkv }, out, norms);
  const saved = [qkv, out, norms, ...constantsOf(plan, qkv)] as const;
  record("attentionPacked", [out], [qkv], saved, ([dy], _sink, [x, y, norms, mask, bias]) => {
    if (!dy) return [null];
    const dx = empty(device, x.shape);
    launchBackward(plan, { q: x, k: x, v: x, y, norms, mask, bias }, { dy, dlse: null, dq: dx, dkv: dx, dvFirst: 0 });
    return [dx];
  });
  norms.dispose();
  return out;
}

function packedPlan(qkv: Tensor, heads: number, options: PackedOptions): Plan {
  const op = "attentionPacked";
  checkFloats(op, qkv);
  const { keyHeads = heads } = options;
  const [batch, rows, columns] = qkv.shape as readonly [number, number, number];
  if (qkv.shape.length !== 3)
    throw new ShapeError(`${op}: qkv is ${show(qkv.shape)} and must be [B, T, (H + 2 Hkv) D]; reshape it`);
  const size = columns / (heads + 2 * keyHeads);
  if (!Number.isInteger(size) || heads < 1 || keyHeads < 1) {
    throw new ShapeError(
      `${op}: ${columns} columns do not divide into ${heads} + 2 x ${keyHeads} heads; make them a multiple of ${heads + 2 * keyHeads}`,
    );
  }
  const steps = (head: number, width = columns): Steps => [head * size, rows * width, size, width];
  const places = { q: steps(0), k: steps(heads), v: steps(heads + keyHeads), y: steps(0, heads * size) };
  return planOf(op, { batch, heads, keyHeads, queries: rows, keys: rows, size }, places, options);
}
