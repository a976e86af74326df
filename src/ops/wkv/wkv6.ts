import forwardKernel from "../../../kernels/wkv/wkv6.wgsl";
import backwardKernel from "../../../kernels/wkv/wkv6_backward.wgsl";
import { type Grad, type GradSink, record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import type { Device } from "../../gpu/device.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { checkHeads, type HeadSizes, headKnobs, SPAN, type WkvResult } from "./head.ts";
import { placeOf } from "./place.ts";
import { layOut, makeRegion, windowOf } from "./region.ts";

/** Positions in the inputs of the graph node. */
const INPUT = { r: 0, k: 1, v: 2, w: 3, u: 4, state: 5 } as const;

/** Vectors of a head in workgroup memory at a time, COLUMNS of the kernel. */
const COLUMNS = 16;

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

/** The recurrence of RWKV-6: `wkv5` with a decay of each step's own, w [B, T, H, N]. */
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

  const matrix = size * size;
  const layout = layOut({ after: all * matrix, states: recorded ? Math.ceil(steps / SPAN) * all * matrix : 0 });
  const kept = makeRegion(device, layout);
  const y = empty(device, r.shape);
  const params = { ...common, given: Number(state !== null), keep: Number(recorded), states: layout.at.states };
  const buffers = { ...operands, before: state ?? u, y, kept };
  device.dispatch(forwardKernel, "forward", buffers, params, [all], headKnobs(size, "three"));
  const after = windowOf(kept, layout.at.after, [batch, heads, size, size]);

  record(op, [y, after], inputs, [r, k, v, w, u, kept], ([dy = null, dafter = null], sink, [r, k, v, w, u, kept]) => {
    const upstream = { dy: dy ?? zeros(device, r.shape), dafter };
    const run = { ...common, states: layout.at.states };
    return gradients(device, { r, k, v, w, u }, kept, upstream, sizes, run, shared, sink);
  });
  kept.dispose();
  return { y, state: after };
}

interface Run {
  readonly steps: number;
  readonly heads: number;
  readonly all: number;
  readonly size: number;
  readonly w_sample: number;
  readonly w_step: number;
  readonly states: number;
}

function gradients(
  device: Device,
  operands: Operands,
  kept: Tensor,
  { dy, dafter }: { readonly dy: Tensor; readonly dafter: Grad },
  { batch, steps, heads, size }: HeadSizes,
  run: Run,
  shared: boolean,
  sink: GradSink,
): Grad[] {
  const { shape } = operands.r;
  const values = batch * steps * heads * size;
  const matrices = batch * heads * size * size;
  const spans = Math.ceil(steps / SPAN);
  const layout = layOut({
    dr: values,
    dk: values,
    dv: values,
    dw: shared ? 0 : values,
    dbefore: matrices,
    borders: spans * matrices,
    shares: 2 * spans * batch * heads * size,
  });
  const { at } = layout;
  const grads = makeRegion(device, layout);
  const params = { ...run, ...at, upstream: Number(dafter !== null), count: spans * batch };
  const knobs = headKnobs(size, "three");
  const buffers = { ...operands, kept, dy, dafter: dafter ?? kept, grads };
  device.dispatch(backwardKernel, "values", buffers, params, [run.all], knobs);
  const chunked = { ...knobs, COLUMNS: Math.min(COLUMNS, knobs.VECTORS), SHARED: shared };
  device.dispatch(backwardKernel, "keys", buffers, params, [spans * run.all], chunked);

  const window = (input: number, start: number, shape: readonly number[]) =>
    sink.needs(input) ? windowOf(grads, start, shape) : null;
  const rows = [
    window(INPUT.r, at.dr, shape),
    window(INPUT.k, at.dk, shape),
    window(INPUT.v, at.dv, shape),
    shared ? null : window(INPUT.w, at.dw, shape),
  ];
  const dbefore = window(INPUT.state, at.dbefore, [batch, heads, size, size]);
  if (!sink.needs(INPUT.u) && !(shared && sink.needs(INPUT.w))) return [...rows, null, dbefore];

  const du = placeOf(device, sink, INPUT.u, [heads, size]);
  const dw = shared ? placeOf(device, sink, INPUT.w, [heads, size]) : null;
  const out = { parts: grads, du: du.grad, dw: dw?.grad ?? empty(device, [1]) };
  const added = { ADD_U: du.accumulate, ADD_W: dw?.accumulate ?? false, SHARED: shared };
  device.dispatch(backwardKernel, "collect", out, params, [Math.ceil((heads * size) / knobs.LANES)], {
    ...knobs,
    ...added,
  });
  return [...rows.slice(0, 3), dw ? dw.returned : (rows[3] ?? null), du.returned, dbefore];
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
