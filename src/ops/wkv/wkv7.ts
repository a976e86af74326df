import forwardKernel from "../../../kernels/wkv/wkv7.wgsl";
import backwardKernel from "../../../kernels/wkv/wkv7_backward.wgsl";
import keysKernel from "../../../kernels/wkv/wkv7_keys.wgsl";
import { record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import { zeros } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";
import { checkHeads, headKnobs, keyKnobs, SPAN, type WkvResult } from "./head.ts";

/** Key channels a workgroup of `keys`, as many as its workgroup memory holds products of. */
const MOST_KEYS = 32;

/**
 * The recurrence of RWKV-7, a generalised delta rule: S = S (diag(d) + a b^T) + v k^T with the decay d = exp(-exp(w)),
 * then y = S r. The model has a = -kappa and b = kappa * (in-context learning rate).
 * Source: Peng et al. 2025, https://arxiv.org/abs/2503.14456.
 * @param r receptance [B, T, H, N]; w, k, v, a and b alike
 * @param state [B, H, N, N], value by key, after the steps before; zeros if left out
 * @throws ShapeError or ValueError naming the tensor that does not fit
 */
export function wkv7(
  r: Tensor,
  w: Tensor,
  k: Tensor,
  v: Tensor,
  a: Tensor,
  b: Tensor,
  state?: Tensor | null,
): WkvResult {
  const { batch, steps, heads, size } = checkHeads("wkv7", { r, w, k, v, a, b }, state ?? null);
  const { device, shape } = r;
  const inputs = [r, w, k, v, a, b, ...(state ? [state] : [])];
  const recorded = gradEnabled() && inputs.some((input) => input.requiresGrad);
  const all = batch * heads;
  const square = [batch, heads, size, size];
  const values = batch * steps * heads * size;
  const matrices = all * size * size;
  const spans = Math.ceil(steps / SPAN);
  const common = { steps, heads, all, size };
  const knobs = headKnobs(size, 5, 3);
  const groups = [Math.ceil(all / knobs.HEADS)] as const;

  const layout = layOut({
    y: values,
    after: matrices,
    sa: recorded ? values : 0,
    states: recorded ? spans * matrices : 0,
  });
  const { after, sa, states } = layout.at;
  const out = makeRegion(device, layout);
  const params = { ...common, given: Number(Boolean(state)), keep: Number(recorded), after, sa, states };
  device.dispatch(forwardKernel, "forward", { r, w, k, v, a, b, before: state ?? r, out }, params, groups, knobs);
  const y = windowOf(out, layout.at.y, shape);
  const last = windowOf(out, after, square);

  record("wkv7", [y, last], inputs, [r, w, k, v, a, b, out], ([dy, dafter], sink, [r, w, k, v, a, b, kept]) => {
    const rows = { dr: values, dw: values, dk: values, dv: values, da: values, db: values, g: values, h: values };
    const layout = layOut({ ...rows, dbefore: matrices, borders: spans * matrices });
    const { at } = layout;
    const grads = makeRegion(device, layout);
    const params = { ...common, upstream: Number(Boolean(dafter)), sa, states, ...at };
    const back = { r, w, k, a, b, dy: dy ?? zeros(device, shape), dafter: dafter ?? kept, grads };
    device.dispatch(backwardKernel, "backward", back, params, groups, knobs);
    const { groups: stretches, ...own } = keyKnobs(size, MOST_KEYS);
    device.dispatch(keysKernel, "keys", { r, w, k, v, a, b, kept, grads }, params, [spans * all * stretches], own);
    const starts = [at.dr, at.dw, at.dk, at.dv, at.da, at.db];
    const given = starts.map((start, i) => (sink.needs(i) ? windowOf(grads, start, shape) : null));
    return [...given, sink.needs(starts.length) ? windowOf(grads, at.dbefore, square) : null];
  });
  out.dispose();
  return { y, state: last };
}
