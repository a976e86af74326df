import lseKernel from "../../../kernels/attention/lse.wgsl";
import { record } from "../../autograd/graph.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { ELEMENT_BYTES } from "../../tensor/dtype.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { placeOf } from "../place.ts";
import { constantsOf, launchBackward, launchForward } from "./launch.ts";
import { type AttentionOptions, type Plan, planOf, type Steps } from "./plan.ts";

/** Options of `attention`. */
export interface LaidOutOptions extends AttentionOptions {
  /** Order of the axes of q, k, v and the result; BTHD is what a projection leaves, [B, T, C], with C split into heads. Default BHTD. */
  readonly layout?: "BHTD" | "BTHD";
}

/**
 * Softmax attention: for each query, the average of the values weighted by softmax(scale q k). The matrix of scores is
 * never stored, forward or backward: memory grows with T, not with its square. A query that sees no key gives 0.
 * @param q [B, H, Tq, D] (or [B, Tq, H, D], see `layout`)
 * @param k [B, Hkv, Tk, D]; query head h reads key head floor(h / (H / Hkv))
 * @param v as k
 * @returns of the shape of q
 * @throws ShapeError if sizes do not match or H is no multiple of Hkv
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: LaidOutOptions = {}): Tensor<"f32"> {
  return attend("attention", q, k, v, options, false).out;
}

/** As `attention`, with lse [B, H, Tq], the logarithm of the sum of exp(score) of each row; -inf where a row sees no key. */
export function attentionWithLse(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  options: LaidOutOptions = {},
): { out: Tensor<"f32">; lse: Tensor<"f32"> } {
  const { out, lse } = attend("attentionWithLse", q, k, v, options, true);
  return { out, lse: lse as Tensor<"f32"> };
}

function attend(op: string, q: Tensor, k: Tensor, v: Tensor, options: LaidOutOptions, wantsLse: boolean) {
  const { device } = q;
  const plan = laidOut(op, q, k, v, options);
  const out = empty(device, q.shape);
  const norms = empty(device, [plan.batch, plan.heads, plan.queries, 2]);
  launchForward(plan, { q, k, v }, out, norms);
  const lse = wantsLse ? lseOf(norms) : null;
  const saved = [q, k, v, out, norms, ...constantsOf(plan, q)] as const;
  const { bias } = plan;
  const outputs = lse ? [out, lse] : [out];
  const inputs = bias ? [q, k, v, bias] : [q, k, v];
  record(op, outputs, inputs, saved, ([dout, dlse = null], sink, [q, k, v, y, norms, mask, constant]) => {
    const dy = dout ?? zeros(device, q.shape);
    const dq = sink.needs(0) ? empty(device, q.shape) : null;
    const pair = sink.needs(1) || sink.needs(2) ? pairLike(k) : null;
    const dbias = bias && sink.needs(3) ? placeOf(device, sink, 3, bias.shape) : null;
    const gradients = { dy, dlse, dq, dkv: pair?.both ?? null, dvFirst: pair?.second ?? 0, dbias };
    launchBackward(plan, { q, k, v, y, norms, mask, bias: constant }, gradients);
    return [dq, pair?.dk, pair?.dv, ...(bias ? [dbias?.returned] : [])];
  });
  norms.dispose();
  return { out, lse };
}

/** The logarithm of the sum of exponentials of each row, [..., 2] -> [...]. */
function lseOf(norms: Tensor): Tensor<"f32"> {
  const lse = empty(norms.device, norms.shape.slice(0, -1));
  norms.device.dispatch(lseKernel, "forward", { norms, lse }, { rows: lse.size }, [Math.ceil(lse.size / 64)]);
  return lse;
}

/** Windows of a buffer start at multiples of this many bytes. */
const WINDOW = 256;

/** Two tensors of the shape of `like` in one buffer, because a kernel cannot write two windows that it sees as two buffers. */
function pairLike(like: Tensor) {
  const bytes = Math.max(Math.ceil(like.bytes / WINDOW), 1) * WINDOW;
  const both = empty(like.device, [(2 * bytes) / ELEMENT_BYTES]);
  const half = (offset: number) => new Tensor(like.device, like.shape, "f32", both.storage.window(offset, bytes));
  return { both, dk: half(0), dv: half(bytes), second: bytes / ELEMENT_BYTES };
}

/** Checks q, k and v and settles how they are attended to. */
export function laidOut(op: string, q: Tensor, k: Tensor, v: Tensor, options: LaidOutOptions): Plan {
  checkFloats(op, q, k, v);
  const { layout = "BHTD" } = options;
  for (const [name, x] of [
    ["q", q],
    ["k", k],
    ["v", v],
  ] as const) {
    if (x.shape.length !== 4)
      throw new ShapeError(`${op}: ${name} is ${show(x.shape)} and must have the four axes ${layout}; reshape it`);
  }
  if (!sameShape(k.shape, v.shape))
    throw new ShapeError(`${op}: k is ${show(k.shape)} and v is ${show(v.shape)}; they must be equal`);
  const { batch, heads, rows: queries, size, steps } = axesOf(q, layout);
  const { batch: keyBatch, heads: keyHeads, rows: keys, size: keySize, steps: keySteps } = axesOf(k, layout);
  if (size !== keySize)
    throw new ShapeError(
      `${op}: q is ${show(q.shape)} and k is ${show(k.shape)}; the head sizes ${size} and ${keySize} must be equal`,
    );
  if (batch !== keyBatch)
    throw new ShapeError(
      `${op}: q is ${show(q.shape)} and k is ${show(k.shape)}; the batches ${batch} and ${keyBatch} must be equal`,
    );
  return planOf(
    op,
    { batch, heads, keyHeads, queries, keys, size },
    { q: steps, k: keySteps, v: keySteps, y: steps },
    options,
  );
}

function axesOf({ shape }: Tensor, layout: "BHTD" | "BTHD") {
  const [batch, second, third, size] = shape as readonly [number, number, number, number];
  const [heads, rows] = layout === "BHTD" ? [second, third] : [third, second];
  const [head, row] = layout === "BHTD" ? [rows * size, size] : [size, heads * size];
  const steps: Steps = [0, heads * rows * size, head, row];
  return { batch, heads, rows, size, steps };
}
