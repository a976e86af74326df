import forwardKernel from "../../../kernels/wkv/wkv6.wgsl";
import backwardKernel from "../../../kernels/wkv/wkv6_backward.wgsl";
import { type Grad, type GradSink, record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { placeOf } from "../place.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";
import { checkHeads, type HeadSizes, headKnobs, keyKnobs, SPAN, type WkvResult } from "./head.ts";

/** Positions in the inputs of the graph node. */
const INPUT = { r: 0, k: 1, v: 2, w: 3, u: 4, state: 5 } as const;

/** Key channels a workgroup of `keys`, as many as its workgroup memory holds products of, and value channels at a time. */
const MOST_KEYS = 64;
const MOST_COLUMNS = 32;

/**
 * The recurrence of RWKV-5: y = r (S + u k^T v), then S = diag(d) S + k^T v with the decay d = exp(-exp(w)), the same at
 * every step. Source: Peng et al. 2024, https://arxiv.org/abs/2404.05892.
 * @param r receptance [B, T, H, N]
 * @param k as r
 * @param v as r
 * @param w [H, N], the raw parameter (time_decay)
 * @param u bonus of the present step [H, N] (time_faaaa)
 * @param state [B, H, N, N], key by value, after the steps before; zeros if left out
 * @throws ShapeError or ValueError naming the tensor that does not fit
 */
export function wkv5(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor, state?: Tensor | null): WkvResult {
  const sizes = checkHeads("wkv5", { r, k, v }, state ?? null);
  checkChannels("wkv5", { w, u }, r, sizes);
  return fadingMatrix("wkv5", { r, k, v, w, u, state: state ?? null }, sizes, true);
}

/**
 * The recurrence of RWKV-6: `wkv5` with a decay of each step's own, w [B, T, H, N].
 * @throws as `wkv5`
 */
export function wkv6(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor, state?: Tensor | null): WkvResult {
  const sizes = checkHeads("wkv6", { r, k, v, w }, state ?? null);
  checkChannels("wkv6", { u }, r, sizes);
  return fadingMatrix("wkv6", { r, k, v, w, u, state: state ?? null }, sizes, false);
}

interface Operands {
  readonly r: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly w: Tensor;
  readonly u: Tensor;
}

/** @param shared whether w is a parameter, the same at every step */
function fadingMatrix(
  op: string,
  { state, ...operands }: Operands & { readonly state: Tensor | null },
  sizes: HeadSizes,
  shared: boolean,
): WkvResult {
  const { r, k, v, w, u } = operands;
  const { device } = r;
  const { batch, steps, heads, size } = sizes;
  const inputs = [r, k, v, w, u, ...(state ? [state] : [])];
  const recorded = gradEnabled() && inputs.some((input) => input.requiresGrad);
  const all = batch * heads;
  const width = heads * size;
  const common = { steps, heads, all, size, w_sample: shared ? 0 : steps * width, w_step: shared ? 0 : width };

  const matrices = all * size * size;
  const layout = layOut({ after: matrices, states: recorded ? Math.ceil(steps / SPAN) * matrices : 0 });
  const kept = makeRegion(device, layout);
  const y = empty(device, r.shape);
  run(common, { ...operands, before: state, y, kept, keep: recorded, at: layout.at });
  const after = windowOf(kept, layout.at.after, [batch, heads, size, size]);

  record(op, [y, after], inputs, [r, k, v, w, u, kept], ([dy, dafter = null], sink, [r, k, v, w, u, kept]) => {
    const saved = { r, k, v, w, u, kept, states: layout.at.states };
    return gradients({ ...saved, dy: dy ?? zeros(device, r.shape), dafter }, common, shared, sink);
  });
  kept.dispose();
  return { y, state: after };
}

/** Parameters of both kernels. */
interface Common {
  readonly steps: number;
  readonly heads: number;
  readonly all: number;
  readonly size: number;
  readonly w_sample: number;
  readonly w_step: number;
}

interface Pass extends Operands {
  readonly before: Tensor | null;
  readonly y: Tensor;
  readonly kept: Tensor;
  readonly keep: boolean;
  /** Where the last state and those before the spans begin in `kept`. */
  readonly at: { readonly after: number; readonly states: number };
}

/** Runs along the sequence, forward or, with the operands exchanged, backward. */
function run(common: Common, { keep, at, before, ...buffers }: Pass, reversed = false): void {
  const params = { ...common, given: Number(before !== null), keep: Number(keep), after: at.after, states: at.states };
  const knobs = headKnobs(common.size, 3, 1);
  const groups = [Math.ceil(common.all / knobs.HEADS)] as const;
  const bound = { ...buffers, before: before ?? buffers.u };
  buffers.r.device.dispatch(forwardKernel, "forward", bound, params, groups, { ...knobs, REVERSED: reversed });
}

interface Saved extends Operands {
  readonly kept: Tensor;
  readonly states: number;
  readonly dy: Tensor;
  readonly dafter: Grad;
}

function gradients(saved: Saved, common: Common, shared: boolean, sink: GradSink): Grad[] {
  const { r, k, v, w, u, kept, states, dy, dafter } = saved;
  const { steps, heads, all, size } = common;
  const { device, shape } = r;
  const matrices = all * size * size;
  const spans = Math.ceil(steps / SPAN);
  const count = (spans * all) / heads;
  const layout = layOut({
    dbefore: matrices,
    borders: spans * matrices,
    dr: r.size,
    dk: r.size,
    dw: shared ? 0 : r.size,
    shares: 2 * count * heads * size,
  });
  const { at } = layout;
  const grads = makeRegion(device, layout);
  const dv = empty(device, shape);
  const back = { r: k, k: r, v: dy, w, u, before: dafter, y: dv, kept: grads, keep: true };
  run(common, { ...back, at: { after: at.dbefore, states: at.borders } }, true);

  const { groups, ...lanes } = keyKnobs(size, MOST_KEYS);
  const knobs = { ...lanes, COLUMNS: Math.min(MOST_COLUMNS, lanes.KEYS), SHARED: shared };
  const params = { ...common, states, ...at, count };
  const buffers = { r, k, v, w, u, dy, kept, grads };
  device.dispatch(backwardKernel, "keys", buffers, params, [spans * all * groups], knobs);
  const window = (input: number, start: number, shape: readonly number[]) =>
    sink.needs(input) ? windowOf(grads, start, shape) : null;
  const dr = window(INPUT.r, at.dr, shape);
  const dk = window(INPUT.k, at.dk, shape);
  const ownW = shared ? null : window(INPUT.w, at.dw, shape);
  const dbefore = window(INPUT.state, at.dbefore, [all / heads, heads, size, size]);
  if (!sink.needs(INPUT.u) && !(shared && sink.needs(INPUT.w))) return [dr, dk, dv, ownW, null, dbefore];

  const du = placeOf(device, sink, INPUT.u, [heads, size]);
  const dw = shared ? placeOf(device, sink, INPUT.w, [heads, size]) : null;
  const out = { parts: grads, du: du.grad, dw: dw?.grad ?? empty(device, [1]) };
  const added = { ADD_U: du.accumulate, ADD_W: dw?.accumulate ?? false };
  const channels = Math.ceil((heads * size) / knobs.LANES);
  device.dispatch(backwardKernel, "collect", out, params, [channels], { ...knobs, ...added });
  return [dr, dk, dv, dw ? dw.returned : ownW, du.returned, dbefore];
}

function checkChannels(
  op: string,
  tensors: Readonly<Record<string, Tensor>>,
  r: Tensor,
  { heads, size }: HeadSizes,
): void {
  checkFloats(op, ...Object.values(tensors));
  for (const [name, tensor] of Object.entries(tensors)) {
    if (!sameShape(tensor.shape, [heads, size])) {
      throw new ShapeError(
        `${op}: ${name} is ${show(tensor.shape)} and r is ${show(r.shape)}; ${name} must be ${show([heads, size])}`,
      );
    }
  }
}
