import forwardKernel from "../../../kernels/wkv/wkv4.wgsl";
import backwardKernel from "../../../kernels/wkv/wkv4_backward.wgsl";
import { type Grad, type GradSink, record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import type { Device } from "../../gpu/device.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkLengths } from "../attention/cache.ts";
import { checkFloats } from "../check.ts";
import { placeOf } from "../place.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";

export interface Wkv4Options {
  /**
   * Parts of the sequence that run side by side; default by size. More than fit in a workgroup, 32, cost two launches
   * forward and three backward instead of one and two.
   */
  readonly parts?: number;
  /** [B] u32 or i32: steps of each sequence; beyond them y is 0 and the state stays. Default: all T. */
  readonly lengths?: Tensor | null;
}

export interface Wkv4Result {
  /** [B, T, C] */
  readonly y: Tensor<"f32">;
  /** [3, B, C], for the steps that follow. */
  readonly state: Tensor<"f32">;
}

/** Positions in the inputs of the graph node. */
const INPUT = { decay: 0, first: 1, k: 2, v: 3, state: 4 } as const;

/** Steps from a kept state to the next, SPAN of the kernels. */
const SPAN = 4;
const LANES = 32;

/** Channels (over the batch) and parts that fill a GPU. */
const ENOUGH_LANES = 16384;
/** Fewer parts than this do not pay for running them twice. */
const FEWEST_PARTS = 4;
/** Up to so many parts one workgroup runs them all, with lanes enough for whole memory sectors. */
const MOST_JOINED = 32;
const MOST_LANES = 256;

/**
 * The recurrence of RWKV-4: for each channel an average of the values so far, whose weights e^k fade by e^w a step, with
 * w = -exp(timeDecay), and the present one counted with e^(u + k), u = timeFirst. Any keys are safe: the sums are kept
 * relative to the largest exponent. Source: Peng et al. 2023, https://arxiv.org/abs/2305.13048.
 * @param timeDecay [C], the raw parameter
 * @param timeFirst [C]
 * @param k [B, T, C]
 * @param v [B, T, C]
 * @param state [3, B, C] after the steps before: numerator and denominator, both divided by e^pp, and pp. Zeros, or none,
 * for the start of a sequence. pp only scales and has the gradient 0.
 * @throws ShapeError naming the tensor that does not fit
 */
export function wkv4(
  timeDecay: Tensor,
  timeFirst: Tensor,
  k: Tensor,
  v: Tensor,
  state?: Tensor | null,
  options: Wkv4Options = {},
): Wkv4Result {
  const { batch, steps, channels } = check(timeDecay, timeFirst, k, v, state ?? null);
  const { parts, lengths = null } = options;
  if (lengths) checkLengths("wkv4", lengths, batch);
  const { device } = k;
  const rows = batch * channels;
  const run = { steps, rows, channels, ...partsOf(steps, rows, device.software, parts) };
  const inputs = [timeDecay, timeFirst, k, v, ...(state ? [state] : [])];
  const recorded = gradEnabled() && inputs.some((input) => input.requiresGrad);

  const { at, size } = layOut({
    after: 3 * rows,
    summaries: run.parts > 1 ? 3 * rows * run.parts : 0,
    checkpoints: recorded ? 3 * rows * Math.ceil(steps / SPAN) : 0,
    weights: recorded ? 2 * channels : 0,
    ends: recorded && lengths ? batch : 0,
  });
  const kept = makeRegion(device, { at, size });
  const y = empty(device, k.shape);
  const params = { ...run, given: Number(Boolean(state)), keep: Number(recorded), ...at };
  const buffers = { decay: timeDecay, first: timeFirst, k, v, before: state ?? k, lengths: lengths ?? k, y, kept };
  const knobs = { LENGTHS: lengths !== null };
  const joined = joinedTile(device, run.parts);
  if (joined) {
    const groups = [Math.ceil(rows / joined.COLUMNS)] as const;
    device.dispatch(forwardKernel, "joined", buffers, params, groups, { ...knobs, ...joined });
  } else {
    if (run.parts > 1)
      device.dispatch(forwardKernel, "summary", buffers, params, groupsOf((run.parts - 1) * rows), knobs);
    device.dispatch(forwardKernel, "forward", buffers, params, groupsOf(run.parts * rows), knobs);
  }
  const after = windowOf(kept, at.after, [3, batch, channels]);

  record("wkv4", [y, after], inputs, [k, v, kept], ([dy = null, dafter = null], sink, [k, v, kept]) => {
    const { checkpoints, weights, ends } = at;
    const from = { ...run, upstream: Number(dafter !== null), checkpoints, weights, ends };
    return gradients(device, { k, v, kept }, dy ?? zeros(device, k.shape), dafter, from, knobs, sink);
  });
  kept.dispose();
  return { y, state: after };
}

interface Saved {
  readonly k: Tensor;
  readonly v: Tensor;
  readonly kept: Tensor;
}

interface Run {
  readonly steps: number;
  readonly rows: number;
  readonly channels: number;
  readonly parts: number;
  readonly length: number;
  readonly upstream: number;
  readonly checkpoints: number;
  readonly weights: number;
  readonly ends: number;
}

function gradients(
  device: Device,
  { k, v, kept }: Saved,
  dy: Tensor,
  dafter: Grad,
  run: Run,
  { LENGTHS }: { readonly LENGTHS: boolean },
  sink: GradSink,
): Grad[] {
  const { rows, parts, channels } = run;
  const { at, size } = layOut({
    before: 3 * rows,
    joints: parts > 1 ? 2 * rows * parts : 0,
    shares: 2 * rows * parts,
  });
  const sums = makeRegion(device, { at, size });
  const dk = placeOf(device, sink, INPUT.k, k.shape);
  const dv = placeOf(device, sink, INPUT.v, k.shape);
  const params = { ...run, joints: at.joints, shares: at.shares };
  const buffers = { k, v, kept, dy, dafter: dafter ?? kept, dk: dk.grad, dv: dv.grad, sums };
  const knobs = { LENGTHS, ADD_K: dk.accumulate, ADD_V: dv.accumulate };
  const joined = joinedTile(device, parts);
  if (joined) {
    const groups = [Math.ceil(rows / joined.COLUMNS)] as const;
    device.dispatch(backwardKernel, "joined", buffers, params, groups, { ...knobs, ...joined });
  } else {
    if (parts > 1) device.dispatch(backwardKernel, "summary", buffers, params, groupsOf(parts * rows), { LENGTHS });
    device.dispatch(backwardKernel, "backward", buffers, params, groupsOf(parts * rows), knobs);
  }
  const dbefore = sink.needs(INPUT.state) ? windowOf(sums, at.before, [3, rows / channels, channels]) : null;
  if (!sink.needs(INPUT.decay) && !sink.needs(INPUT.first)) return [null, null, dk.returned, dv.returned, dbefore];

  const ddecay = placeOf(device, sink, INPUT.decay, [channels]);
  const dfirst = placeOf(device, sink, INPUT.first, [channels]);
  const out = { parts: sums, kept, ddecay: ddecay.grad, dfirst: dfirst.grad };
  const added = { ADD_DECAY: ddecay.accumulate, ADD_FIRST: dfirst.accumulate };
  device.dispatch(backwardKernel, "collect", out, params, groupsOf(2 * channels), added);
  return [ddecay.returned, dfirst.returned, dk.returned, dv.returned, dbefore];
}

const groupsOf = (lanes: number) => [Math.ceil(lanes / LANES)] as const;

/**
 * Sizes of the workgroups that run all parts of their channels; null for one part, for too many, and on a CPU emulation,
 * whose barriers are slow.
 */
function joinedTile({ software }: Device, parts: number): { readonly LANES: number; readonly COLUMNS: number } | null {
  if (software || parts === 1 || parts > MOST_JOINED) return null;
  const COLUMNS = 2 ** Math.floor(Math.log2(MOST_LANES / parts));
  return { LANES: parts * COLUMNS, COLUMNS };
}

/**
 * How many parts a sequence is cut into, and their length. A part of L steps costs 2 L and a little for each of the
 * others, so about sqrt(2 T) parts are best for the time of a lane; they pay where channels alone leave a GPU idle.
 */
function partsOf(steps: number, rows: number, software: boolean, wanted?: number) {
  const best = Math.min(Math.sqrt(2 * steps), ENOUGH_LANES / Math.max(rows, 1));
  const parts = Math.max(wanted ?? (software || best < FEWEST_PARTS ? 1 : Math.floor(best)), 1);
  const length = Math.max(Math.ceil(steps / parts / SPAN), 1) * SPAN;
  return { parts: Math.max(Math.ceil(steps / length), 1), length };
}

function check(timeDecay: Tensor, timeFirst: Tensor, k: Tensor, v: Tensor, state: Tensor | null) {
  checkFloats("wkv4", timeDecay, timeFirst, k, v, ...(state ? [state] : []));
  const [batch, steps, channels] = k.shape as readonly [number, number, number];
  if (k.shape.length !== 3) throw new ShapeError(`wkv4: k is ${show(k.shape)}; it must be [B, T, C]`);
  if (!sameShape(v.shape, k.shape)) {
    throw new ShapeError(`wkv4: k is ${show(k.shape)} and v is ${show(v.shape)}; they must be equal`);
  }
  for (const [name, tensor] of [
    ["timeDecay", timeDecay],
    ["timeFirst", timeFirst],
  ] as const) {
    if (!sameShape(tensor.shape, [channels])) {
      throw new ShapeError(
        `wkv4: ${name} is ${show(tensor.shape)} and k is ${show(k.shape)}; ${name} must be [${channels}]`,
      );
    }
  }
  if (state && !sameShape(state.shape, [3, batch, channels])) {
    throw new ShapeError(
      `wkv4: state is ${show(state.shape)} and k is ${show(k.shape)}; it must be ${show([3, batch, channels])}`,
    );
  }
  return { batch, steps, channels };
}
