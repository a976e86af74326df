import forwardKernel from "../../../kernels/scan/scan.wgsl";
import backwardKernel from "../../../kernels/scan/scan_backward.wgsl";
import { type Grad, type GradSink, record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import type { Device } from "../../gpu/device.ts";
import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { type Shape, sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { concat } from "../concat.ts";
import { placeOf } from "../place.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";
import { reshape } from "../reshape.ts";

/** Options of `selectiveScan`. */
export interface ScanOptions {
  /** [E]; adds D u to the result. */
  readonly D?: Tensor | null;
  /** [B, T, E]; multiplies the result by silu(z). */
  readonly z?: Tensor | null;
  /** [E]; added to delta. */
  readonly deltaBias?: Tensor | null;
  /** Whether softplus is applied to delta. */
  readonly deltaSoftplus?: boolean;
  /** [B, E, N] after the steps before; zeros if left out. */
  readonly state?: Tensor | null;
  /** Whether A is given as log(-A), as models store it. */
  readonly logA?: boolean;
}

export interface ScanResult {
  /** [B, T, E] */
  readonly y: Tensor<"f32">;
  /** [B, E, N], for the steps that follow. */
  readonly state: Tensor<"f32">;
}

/** Steps from a kept state to the next and of a tile, SPAN and STEPS of the kernels. */
const SPAN = 8;
/** Invocations of a workgroup, if the state size divides into them. */
const LANES = 64;
/** Largest state size: a channel of it fills a workgroup. */
const WIDEST = 4 * LANES;

/**
 * The selective scan of Mamba: h_t = e^(delta_t A) h_(t-1) + delta_t B_t u_t, y_t = C_t h_t + D u_t, gated by silu(z).
 * Memory for backward is a state every eight steps. Two launches forward, three backward.
 * Gu and Dao 2023, https://arxiv.org/abs/2312.00752.
 * @param u [B, T, E]
 * @param delta [B, T, E]
 * @param A [E, N], negative
 * @param B [B, T, N], or [B, T, G, N] for groups of E / G channels
 * @param C as B
 * @throws ShapeError naming the tensor that does not fit, ValueError for a state that is too large
 */
export function selectiveScan(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  B: Tensor,
  C: Tensor,
  options: ScanOptions = {},
): ScanResult {
  checkFloats("selectiveScan", B, C);
  if (B.shape.length < 3 || B.shape.length > 4 || !sameShape(B.shape, C.shape)) {
    throw new ShapeError(
      `selectiveScan: B is ${show(B.shape)} and C is ${show(C.shape)}; both must be [B, T, N] or both [B, T, G, N]`,
    );
  }
  const [batch = 0, steps = 0, ...rest] = B.shape;
  const [groups, size] = rest.length === 1 ? [1, rest[0] as number] : (rest as [number, number]);
  const flat = [batch, steps, groups * size];
  const bc = concat([reshape(B, flat), reshape(C, flat)], -1);
  return selectiveScanPacked(u, delta, A, bc, { ...options, groups });
}

/**
 * `selectiveScan` with B and C side by side, as a projection leaves them.
 * @param bc [B, T, 2 G N]: B of all groups, then C
 */
export function selectiveScanPacked(
  u: Tensor,
  delta: Tensor,
  A: Tensor,
  bc: Tensor,
  options: ScanOptions & { readonly groups?: number } = {},
): ScanResult {
  const { D = null, z = null, deltaBias = null, state = null, groups = 1 } = options;
  const run = check({ u, delta, A, bc, D, z, deltaBias, state }, groups);
  const { batch, steps, channels, size, rows } = run;
  const { device } = u;
  const named = { u, delta, A, bc, D, z, deltaBias, state };
  const order = (Object.keys(named) as (keyof typeof named)[]).filter((name) => named[name]);
  const inputs = order.map((name) => named[name] as Tensor);
  const recorded = gradEnabled() && inputs.some((input) => input.requiresGrad);
  const { at, size: values } = layOut({
    after: rows * size,
    checkpoints: recorded ? rows * size * Math.ceil(steps / SPAN) : 0,
    weights: channels * (size + 2),
  });
  const kept = makeRegion(device, { at, size: values });
  const y = empty(device, u.shape);
  const QUADS = Math.ceil(size / 4);
  const CHANNELS = Math.max(1, Math.floor(LANES / QUADS));
  const tiles = { QUADS, CHANNELS, LANES: QUADS * CHANNELS };
  const given = {
    SKIP: D !== null,
    BIAS: deltaBias !== null,
    SOFTPLUS: options.deltaSoftplus ?? false,
    GATE: z !== null,
  };
  const stretches = Math.ceil(channels / groups / CHANNELS);
  const params = { steps, channels, groups, size, rows, checkpoints: at.checkpoints, weights: at.weights };
  const knobs = { ...tiles, ...given };
  const flags = { LOG_A: options.logA ?? false, SKIP: given.SKIP, BIAS: given.BIAS };
  const constants = { a: A, d: D ?? A, bias: deltaBias ?? A, kept };
  device.dispatch(forwardKernel, "prepare", constants, params, [Math.ceil((channels * (size + 2)) / 64)], flags);
  device.dispatch(
    forwardKernel,
    "forward",
    { u, delta, bc, z: z ?? u, before: state ?? u, y, kept },
    params,
    [batch * groups * stretches],
    { ...knobs, GIVEN: state !== null, KEEP: recorded },
  );
  const after = windowOf(kept, at.after, [batch, channels, size]);
  record("selectiveScan", [y, after], inputs, [u, delta, bc, z ?? u, kept], (grads, sink, [u, delta, bc, z, kept]) => {
    const [dy = null, dafter = null] = grads;
    const launch = { ...params, batch, stretches };
    const flags = { ...knobs, LOG_A: options.logA ?? false };
    const upstream = { dy: dy ?? zeros(device, u.shape), dafter };
    return gradients(device, { u, delta, bc, z, kept }, upstream, launch, flags, order, sink);
  });
  kept.dispose();
  return { y, state: after };
}

type Saved = Readonly<Record<"u" | "delta" | "bc" | "z" | "kept", Tensor>>;
type Launch = ReturnType<typeof check> & Readonly<Record<"checkpoints" | "weights" | "stretches", number>>;
interface Flags {
  readonly QUADS: number;
  readonly CHANNELS: number;
  readonly LANES: number;
  readonly SKIP: boolean;
  readonly BIAS: boolean;
  readonly SOFTPLUS: boolean;
  readonly GATE: boolean;
  readonly LOG_A: boolean;
}

function gradients(
  device: Device,
  saved: Saved,
  { dy, dafter }: { readonly dy: Tensor; readonly dafter: Grad },
  launch: Launch,
  flags: Flags,
  order: readonly string[],
  sink: GradSink,
): Grad[] {
  const { batch, steps, channels, groups, size, rows, stretches } = launch;
  const wanted = (name: string) => order.includes(name) && sink.needs(order.indexOf(name));
  const values = rows * steps;
  const across = 2 * groups * size;
  const { at, size: total } = layOut({
    before: rows * size,
    du: values,
    ddelta: values,
    dz: flags.GATE ? values : 0,
    shares_bc: stretches * batch * steps * across,
    shares_a: rows * size,
    shares: 2 * rows * flags.QUADS,
  });
  const grads = makeRegion(device, { at, size: total });
  const { before: _, ...places } = at;
  const params = { ...launch, ...places };
  const buffers = { ...saved, dy, dafter: dafter ?? saved.kept, grads };
  const { LOG_A, ...scanFlags } = flags;
  const up = { ...scanFlags, UPSTREAM: dafter !== null };
  device.dispatch(backwardKernel, "backward", buffers, params, [batch * groups * stretches], up);
  const shape: Shape = [batch, steps, channels];
  const found: Record<string, Grad> = {
    u: windowOf(grads, at.du, shape),
    delta: windowOf(grads, at.ddelta, shape),
    z: flags.GATE ? windowOf(grads, at.dz, shape) : null,
    state: wanted("state") ? windowOf(grads, at.before, [batch, channels, size]) : null,
  };
  if (wanted("bc")) {
    const dbc = empty(device, [batch, steps, across]);
    device.dispatch(backwardKernel, "join", { parts: grads, dbc }, params, [Math.ceil(dbc.size / 64)]);
    found.bc = dbc;
  }
  if (wanted("A") || wanted("D") || wanted("deltaBias")) {
    const place = (name: string, shape: Shape) =>
      wanted(name)
        ? placeOf(device, sink, order.indexOf(name), shape)
        : { grad: empty(device, shape), accumulate: false, returned: null };
    const [dA, dD, dbias] = [place("A", [channels, size]), place("D", [channels]), place("deltaBias", [channels])];
    device.dispatch(
      backwardKernel,
      "collect",
      { parts: grads, kept: saved.kept, da: dA.grad, dd: dD.grad, dbias: dbias.grad },
      params,
      [Math.ceil((channels * (size + 2)) / 64)],
      {
        ...{ QUADS: flags.QUADS, LOG_A, SKIP: flags.SKIP, BIAS: flags.BIAS },
        ...{ ADD_A: dA.accumulate, ADD_D: dD.accumulate, ADD_BIAS: dbias.accumulate },
      },
    );
    Object.assign(found, { A: dA.returned, D: dD.returned, deltaBias: dbias.returned });
  }
  return order.map((name) => found[name] ?? null);
}

interface Operands {
  readonly u: Tensor;
  readonly delta: Tensor;
  readonly A: Tensor;
  readonly bc: Tensor;
  readonly D: Tensor | null;
  readonly z: Tensor | null;
  readonly deltaBias: Tensor | null;
  readonly state: Tensor | null;
}

function check(operands: Operands, groups: number) {
  const { u, A } = operands;
  for (const tensor of Object.values(operands) as (Tensor | null)[]) if (tensor) checkFloats("selectiveScan", tensor);
  if (u.shape.length !== 3) throw new ShapeError(`selectiveScan: u is ${show(u.shape)}; it must be [B, T, E]`);
  const [batch, steps, channels] = u.shape as readonly [number, number, number];
  const size = A.shape.at(-1) ?? 0;
  if (size > WIDEST) {
    throw new ValueError(
      `selectiveScan: A is ${show(A.shape)}, a state of ${size} a channel; it can be ${WIDEST} at most`,
    );
  }
  if (!(Number.isInteger(groups) && groups > 0 && channels % groups === 0)) {
    throw new ValueError(
      `selectiveScan: ${groups} groups do not divide ${channels} channels; make the channels a multiple of the groups`,
    );
  }
  const shapes: Record<keyof Operands, Shape> = {
    u: u.shape,
    delta: u.shape,
    A: [channels, Math.max(size, 1)],
    bc: [batch, steps, 2 * groups * size],
    D: [channels],
    z: u.shape,
    deltaBias: [channels],
    state: [batch, channels, size],
  };
  for (const [name, shape] of Object.entries(shapes) as [keyof Operands, Shape][]) {
    const tensor = operands[name];
    if (tensor && !sameShape(tensor.shape, shape)) {
      const what = name === "bc" ? "B and C side by side are" : `${name} is`;
      throw new ShapeError(
        `selectiveScan: ${what} ${show(tensor.shape)}; with u ${show(u.shape)}, A ${show(A.shape)} and ${groups} groups it must be ${show(shape)}`,
      );
    }
  }
  return { batch, steps, channels, groups, size, rows: batch * channels };
}
