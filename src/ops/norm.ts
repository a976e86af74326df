import normKernel from "../../kernels/norm/norm.wgsl";
import { type GradSink, record } from "../autograd/graph.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import type { ParamValues } from "../gpu/kernel.ts";
import { empty } from "../tensor/create.ts";
import { sameShape, show, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { launchRows } from "./rows.ts";
import { type RowKnobs, tunedFor } from "./tuned.ts";

/**
 * (x - mean) / sqrt(variance + eps) * weight + bias over the last axis, with the biased variance.
 * @param weight [C], C the last size; 1 if left out
 * @param bias [C]; 0 if left out
 */
export function layerNorm(x: Tensor, weight?: Tensor | null, bias?: Tensor | null, eps = 1e-5): Tensor<"f32"> {
  const channels = lastSize("layerNorm", x);
  const sizes = { samples: x.size / channels, groups: 1, channels, inner: 1 };
  return normalise("layerNorm", x, sizes, weight ?? null, bias ?? null, eps, true);
}

/** x / sqrt(mean(x^2) + eps) * weight over the last axis; `weight` is [C] as in `layerNorm`. */
export function rmsNorm(x: Tensor, weight?: Tensor | null, eps = 1e-5): Tensor<"f32"> {
  const channels = lastSize("rmsNorm", x);
  const sizes = { samples: x.size / channels, groups: 1, channels, inner: 1 };
  return normalise("rmsNorm", x, sizes, weight ?? null, null, eps, false);
}

/**
 * Normalises x [N, C, ...] over each sample's groups of C / groups neighbouring channels, all trailing axes
 * included; weight and bias are [C]. RWKV's ln_x is this on [B * T, C] with a group a head.
 * @throws ShapeError if the channels do not divide into the groups
 */
export function groupNorm(
  x: Tensor,
  groups: number,
  weight?: Tensor | null,
  bias?: Tensor | null,
  eps = 1e-5,
): Tensor<"f32"> {
  const [samples, channels] = x.shape;
  if (samples === undefined || channels === undefined || channels === 0 || channels % groups !== 0 || groups < 1) {
    throw new ShapeError(
      `groupNorm: ${groups} groups do not divide the channels of ${show(x.shape)}; x must be [N, C, ...] with C a multiple of the groups`,
    );
  }
  const sizes = { samples, groups, channels, inner: sizeOf(x.shape.slice(2)) };
  return normalise("groupNorm", x, sizes, weight ?? null, bias ?? null, eps, true);
}

/** The tensor as (samples, channels, inner); a row is the channels / groups * inner elements of a group. */
interface Sizes {
  readonly samples: number;
  readonly groups: number;
  readonly channels: number;
  readonly inner: number;
}

function normalise(
  name: string,
  x: Tensor,
  sizes: Sizes,
  weight: Tensor | null,
  bias: Tensor | null,
  eps: number,
  center: boolean,
): Tensor<"f32"> {
  checkNorm(name, x, sizes.channels, weight, bias, eps);
  const { device } = x;
  const y = empty(device, x.shape);
  if (x.size === 0) return y;
  const launch = planNorm(x, sizes, eps);
  const { params, groups } = launch;
  const knobs = { ...launch.knobs, CENTER: center, WEIGHT: weight !== null, BIAS: bias !== null };
  const stats = empty(device, [params.rows, 2]);
  const buffers = { x, update: x, weight: weight ?? x, bias: bias ?? x, y, stats };
  device.dispatch(normKernel, "forward", buffers, params, groups, knobs);
  const inputs = [x, ...(weight ? [weight] : []), ...(bias ? [bias] : [])];
  record(name, [y], inputs, [x, stats, weight ?? x], ([dy], sink, [x, rowstats, weight]) => {
    if (!dy) return [];
    const wants = { weight: knobs.WEIGHT && sink.needs(1), bias: knobs.BIAS && sink.needs(inputs.length - 1) };
    if (wants.weight || wants.bias) {
      const given = { x, rowstats, weight, dy, dstream: null };
      const { dx, sums } = affineGradients(given, sink, wants, { ...launch, knobs }, inputs.length - 1);
      return [sink.needs(0) ? dx : null, ...sums];
    }
    const dx = empty(device, x.shape);
    device.dispatch(normKernel, "backward", { x, rowstats, weight, dy, dstream: dy, dx }, params, groups, knobs);
    return [dx];
  });
  stats.dispose();
  return y;
}

type Launch = ReturnType<typeof planNorm>;
type NormKnobs = Launch["knobs"] & { readonly CENTER: boolean; readonly WEIGHT: boolean; readonly BIAS: boolean };

/** How rows of these sizes are launched. */
export function planNorm(
  x: Tensor,
  { samples, groups, channels, inner }: Sizes,
  eps: number,
  own: RowKnobs = tunedFor(x.device).rows.norm,
) {
  const rows = samples * groups;
  const length = x.size / rows;
  const vectors = inner === 1 && (channels / groups) % 4 === 0;
  const launch = launchRows(x.device, rows, length, vectors, own);
  const chunk = Math.ceil(Math.sqrt(samples));
  const params: ParamValues<typeof normKernel> = {
    rows,
    words: launch.words,
    groups,
    span: channels / groups / launch.knobs.WIDTH,
    inner,
    samples,
    chunk,
    chunks: Math.ceil(samples / chunk),
    count: length,
    eps,
  };
  return {
    params,
    groups: launch.groups,
    knobs: { ...launch.knobs, SPREAD: inner > 1 },
    channels,
    channelWords: channels / launch.knobs.WIDTH,
  };
}

/** What the gradients of a normalisation with weight or bias are made of. */
interface Upstream {
  readonly x: Tensor;
  readonly rowstats: Tensor;
  readonly weight: Tensor;
  readonly dy: Tensor;
  /** Added to dx. */
  readonly dstream: Tensor | null;
}

/** Gradients of x, and of weight (input 1) and bias (the last input) in two stages, so that the order of additions is fixed. */
export function affineGradients(
  { x, rowstats, weight: scale, dy, dstream }: Upstream,
  sink: GradSink,
  wants: { readonly weight: boolean; readonly bias: boolean },
  { params, groups: rowGroups, knobs, channels, channelWords }: Launch & { readonly knobs: NormKnobs },
  last: number,
): { readonly dx: Tensor; readonly sums: (Tensor | null)[] } {
  const { device } = x;
  const lines = empty(device, [params.rows, 4]);
  device.dispatch(normKernel, "means", { x, rowstats, weight: scale, dy, lines }, params, rowGroups, knobs);
  const flat = { ...knobs, LANES: 64, ROWS: 1 };
  const shares = empty(device, [params.chunks, 2, channels]);
  const dx = empty(device, x.shape);
  device.dispatch(
    normKernel,
    "affine",
    { x, weight: scale, dy, dstream: dstream ?? dy, rowlines: lines, dx, shares },
    params,
    [Math.ceil((params.chunks * channelWords) / 64)],
    { ...flat, SKIP: dstream !== null },
  );
  const groups = [Math.ceil(channelWords / 64)] as const;
  const weight = place(x, channels, wants.weight ? sink.into(1) : null);
  const bias = wants.bias ? place(x, channels, sink.into(last)) : null;
  const added = { ...flat, ADD_WEIGHT: weight.accumulate, ADD_BIAS: bias?.accumulate ?? false };
  if (bias)
    device.dispatch(
      normKernel,
      "collect",
      { parts: shares, dweight: weight.grad, dbias: bias.grad },
      params,
      groups,
      added,
    );
  else device.dispatch(normKernel, "collectWeight", { parts: shares, dweight: weight.grad }, params, groups, added);
  const returned = [wants.weight ? weight.returned : null];
  return { dx, sums: last === 1 && bias ? [bias.returned] : [...returned, bias?.returned ?? null] };
}

/** Where a gradient is written: a parameter's own memory, or a fresh tensor that backward returns. */
function place(x: Tensor, channels: number, into: ReturnType<GradSink["into"]>) {
  if (into) return { ...into, returned: null };
  const grad = empty(x.device, [channels]);
  return { grad, accumulate: false, returned: grad };
}

function lastSize(name: string, x: Tensor): number {
  const size = x.shape.at(-1);
  if (!size)
    throw new ShapeError(`${name}: the tensor is ${show(x.shape)}; it needs a last axis of at least one element`);
  return size;
}

/** Refuses what does not fit rows of `channels`. */
export function checkNorm(
  name: string,
  x: Tensor,
  channels: number,
  weight: Tensor | null,
  bias: Tensor | null,
  eps: number,
): void {
  for (const tensor of [x, weight, bias]) tensor?.check(name);
  if (x.dtype !== "f32") throw new ShapeError(`${name}: the tensor is ${x.dtype}; it must be f32`);
  for (const [what, tensor] of [
    ["weight", weight],
    ["bias", bias],
  ] as const) {
    if (tensor && !sameShape(tensor.shape, [channels])) {
      throw new ShapeError(
        `${name}: ${what} is ${show(tensor.shape)} and x is ${show(x.shape)}; ${what} must be [${channels}]`,
      );
    }
  }
  if (!(eps >= 0)) throw new ValueError(`${name}: eps is ${eps}; it must be 0 or more`);
}
