import attendKernel from "../../../kernels/retention/attend.wgsl";
import slopesKernel from "../../../kernels/retention/slopes.wgsl";
import statesKernel from "../../../kernels/retention/states.wgsl";
import stepKernel from "../../../kernels/retention/step.wgsl";
import { type Grad, type GradSink, record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import type { Device } from "../../gpu/device.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { sum } from "../reduce.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";
import { reshape } from "../reshape.ts";

export interface FadingResult {
  /** [B, T, H, V] */
  readonly y: Tensor<"f32">;
  /** [B, H, K, V], for the steps that follow. */
  readonly state: Tensor<"f32">;
}

/** Steps of a chunk, CHUNK of the kernels. */
const CHUNK = 32;
/** Positions in the inputs of the graph node. */
const INPUT = { q: 0, k: 1, v: 2, w: 3, state: 4 } as const;

/**
 * Attention that fades: S_t = e^(w_t) S_(t-1) + k_t^T v_t and y_t = q_t S_t, with one w for all of a head. Retention has a
 * constant w a head, Mamba-2 one that each token chooses. Chunks are matrix products and memory grows with T / 32 states;
 * two launches forward, four backward (six with a gradient of w), and a single one for a step that records nothing.
 * Sun et al. 2023, https://arxiv.org/abs/2307.08621; Dao and Gu 2024, https://arxiv.org/abs/2405.21060.
 * @param op its caller's name, for errors
 * @param q [B, T, G, K], each head for H / G heads of v
 * @param k [B, T, G, K]
 * @param v [B, T, H, V]
 * @param w [H] or [B, T, H], at most 0
 * @param state [B, H, K, V] after the steps before; zeros if left out
 * @throws ShapeError naming the tensor that does not fit
 */
export function fadingAttention(
  op: string,
  q: Tensor,
  k: Tensor,
  v: Tensor,
  w: Tensor,
  state: Tensor | null = null,
): FadingResult {
  const run = check(op, q, k, v, w, state);
  const { batch, steps, heads, groups, keySize, size } = run;
  const { device } = v;
  const inputs = [q, k, v, w, ...(state ? [state] : [])];
  const y = empty(device, v.shape);
  if (steps === 1 && !(gradEnabled() && inputs.some((input) => input.requiresGrad))) {
    const after = empty(device, [batch, heads, keySize, size]);
    const params = { heads, all: run.all, key_size: keySize, size, key_heads: groups, w_sample: run.decay.w_sample };
    const buffers = { q, k, v, w, before: state ?? v, o: y, after };
    const lanes = Math.ceil((run.all * size) / 64);
    device.dispatch(stepKernel, "forward", buffers, params, [lanes], { GIVEN: state !== null });
    return { y, state: after };
  }
  const { kept, at } = statesOf(device, { x: k, y: v, w, given: state }, run, false);
  attend(device, { a: q, b: k, c: v, w, kept, o: y }, run, at.borders);
  const after = windowOf(kept, 0, [batch, heads, keySize, size]);
  record(op, [y, after], inputs, [q, k, v, w, kept], ([dy, dafter = null], sink, saved) => {
    const [q, k, v, w, kept] = saved;
    return gradients(device, { q, k, v, w, kept }, dy ?? zeros(device, v.shape), dafter, run, sink);
  });
  kept.dispose();
  return { y, state: after };
}

type Run = ReturnType<typeof check>;

/** States at the borders of chunks, or their gradients from the last step to the first. */
function statesOf(
  device: Device,
  { x, y, w, given }: { readonly x: Tensor; readonly y: Tensor; readonly w: Tensor; readonly given: Tensor | null },
  { all, steps, heads, groups, keySize, size, chunks, decay }: Run,
  reversed: boolean,
) {
  const matrices = all * keySize * size;
  const layout = layOut({ final: matrices, borders: matrices * chunks });
  const kept = makeRegion(device, layout);
  const params = {
    ...{ steps, heads, all, x_size: keySize, y_size: size, x_heads: groups, y_heads: heads },
    ...decay,
    borders: layout.at.borders,
    given: Number(given !== null),
    reversed: Number(reversed),
  };
  const tiles = Math.ceil(keySize / 32) * Math.ceil(size / 32);
  device.dispatch(statesKernel, "forward", { x, y, w, given: given ?? x, kept }, params, [all * tiles]);
  return { kept, at: layout.at };
}

interface Operands {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly c: Tensor;
  readonly w: Tensor;
  readonly kept: Tensor;
  readonly o: Tensor;
}

function attend(
  device: Device,
  operands: Operands,
  { all, steps, heads, chunks, decay }: Run,
  borders: number,
  { reversed = false, turned = false }: { readonly reversed?: boolean; readonly turned?: boolean } = {},
): void {
  const { a, b, c } = operands;
  const c_size = c.shape[3] as number;
  const [a_heads, b_heads, c_heads] = [a, b, c].map(({ shape }) => shape[2]) as [number, number, number];
  const params = {
    ...{ steps, heads, all, a_size: a.shape[3] as number, c_size, a_heads, b_heads, c_heads },
    ...decay,
    borders,
    reversed: Number(reversed),
    turned: Number(turned),
  };
  device.dispatch(attendKernel, "forward", operands, params, [chunks * all * Math.ceil(c_size / 32)]);
}

type Saved = Readonly<Record<"q" | "k" | "v" | "w" | "kept", Tensor>>;

function gradients(
  device: Device,
  { q, k, v, w, kept }: Saved,
  dy: Tensor,
  dafter: Grad,
  run: Run,
  sink: GradSink,
): Grad[] {
  const { batch, steps, heads, groups, keySize, size, all, at } = run;
  const back = statesOf(device, { x: q, y: dy, w, given: dafter }, run, true);
  const perHead = [batch, steps, heads, keySize];
  const wantsW = sink.needs(INPUT.w);
  const dq = sink.needs(INPUT.q) || wantsW ? empty(device, perHead) : null;
  const dk = sink.needs(INPUT.k) || wantsW ? empty(device, perHead) : null;
  const dv = sink.needs(INPUT.v) ? empty(device, v.shape) : null;
  const turnedBack = { reversed: true, turned: true };
  if (dq) attend(device, { a: dy, b: v, c: k, w, kept, o: dq }, run, at.borders, { turned: true });
  if (dk) attend(device, { a: v, b: dy, c: q, w, kept: back.kept, o: dk }, run, at.borders, turnedBack);
  if (dv) attend(device, { a: k, b: q, c: dy, w, kept: back.kept, o: dv }, run, at.borders, { reversed: true });
  let dw: Tensor | null = null;
  if (wantsW && dq && dk) {
    dw = empty(device, [batch, steps, heads]);
    const rows = batch * steps * heads;
    const params = { steps, heads, rows, all, key_size: keySize, size, key_heads: groups };
    device.dispatch(slopesKernel, "dots", { q, k, dq, dk, dw }, params, [Math.ceil(rows / 64)]);
    const ends = { after: kept, dafter: dafter ?? kept, dw };
    device.dispatch(slopesKernel, "sums", ends, params, [all], { UPSTREAM: dafter !== null });
    if (w.shape.length === 1) dw = sum(dw, [0, 1]);
  }
  // Heads that share q and k add their gradients up.
  const shared = (d: Tensor) =>
    groups === heads ? d : sum(reshape(d, [batch, steps, groups, heads / groups, keySize]), 3);
  return [
    dq && sink.needs(INPUT.q) ? shared(dq) : null,
    dk && sink.needs(INPUT.k) ? shared(dk) : null,
    dv,
    dw,
    sink.needs(INPUT.state) ? windowOf(back.kept, 0, [batch, heads, keySize, size]) : null,
  ];
}

function check(op: string, q: Tensor, k: Tensor, v: Tensor, w: Tensor, state: Tensor | null) {
  checkFloats(op, q, k, v, w, ...(state ? [state] : []));
  const [batch = 0, steps = 0, heads = 0, size = 0] = v.shape;
  const [, , groups = 0, keySize = 0] = q.shape;
  if (v.shape.length !== 4 || size === 0) {
    throw new ShapeError(`${op}: the values are ${show(v.shape)}; they must be [B, T, H, V]`);
  }
  if (!sameShape(q.shape, [batch, steps, groups, keySize]) || !sameShape(k.shape, q.shape) || keySize === 0) {
    throw new ShapeError(
      `${op}: queries are ${show(q.shape)}, keys ${show(k.shape)} and values ${show(v.shape)}; queries and keys must be equal, [B, T, H, K] with the B and T of the values`,
    );
  }
  if (groups === 0 || heads % groups !== 0) {
    throw new ShapeError(
      `${op}: ${groups} heads of queries and keys do not divide ${heads} heads of values; make the values' a multiple`,
    );
  }
  const each = sameShape(w.shape, [batch, steps, heads]);
  if (!each && !sameShape(w.shape, [heads])) {
    throw new ShapeError(
      `${op}: the decays are ${show(w.shape)}; for values ${show(v.shape)} they must be [${heads}] or ${show([batch, steps, heads])}`,
    );
  }
  const before = [batch, heads, keySize, size];
  if (state && !sameShape(state.shape, before)) {
    throw new ShapeError(
      `${op}: the state is ${show(state.shape)}; for queries ${show(q.shape)} and values ${show(v.shape)} it must be ${show(before)}`,
    );
  }
  const decay = { w_sample: each ? steps * heads : 0, w_step: each ? heads : 0 };
  const all = batch * heads;
  const chunks = Math.ceil(steps / CHUNK);
  const { at } = layOut({ final: all * keySize * size, borders: 0 });
  return { batch, steps, heads, groups, keySize, size, all, chunks, decay, at };
}
