import convKernel from "../../../kernels/scan/conv.wgsl";
import quadsKernel from "../../../kernels/scan/conv_quads.wgsl";
import { record } from "../../autograd/graph.ts";
import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { empty, zeros } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import { placeOf } from "../place.ts";
import { layOut, makeRegion, windowOf } from "../region.ts";

/** Options of `causalConv1d`. */
export interface CausalConvOptions {
  /** [C] */
  readonly bias?: Tensor | null;
  /** [B, K - 1, C]; the rows before the first, as the call before left them; zeros if left out. */
  readonly state?: Tensor | null;
  /** Applied to the result in the same launch. */
  readonly activation?: "silu";
}

export interface CausalConvResult {
  /** [B, T, C] */
  readonly y: Tensor<"f32">;
  /** [B, K - 1, C]; the last rows of x, for the steps that follow. */
  readonly state: Tensor<"f32">;
}

/** Widest kernel: an invocation of backward keeps it in registers, four times over. */
const WIDEST = 16;
/**
 * Steps of an invocation, SPAN of the kernels. Rows are read once a span and up to three times more at its edges, and backward
 * leaves a share of the weight's gradient for each; but a GPU wants many invocations, and an emulation few.
 */
const SPANS = { forward: 4, backward: 16, emulated: 32 } as const;
/** Widest kernel that takes four channels at a time. */
const WIDEST_QUADS = 4;

/**
 * A convolution along time, one kernel a channel, that sees no later step:
 * y_t = bias + sum_j weight[:, j] x_(t-K+1+j). One launch forward, two backward. Gu and Dao 2023,
 * https://arxiv.org/abs/2312.00752.
 * @param x [B, T, C]
 * @param weight [C, 1, K] as torch.nn.Conv1d stores it with groups = C, or [C, K]; K at most 16
 * @throws ShapeError naming the tensor that does not fit, ValueError for a kernel that is too wide
 */
export function causalConv1d(x: Tensor, weight: Tensor, options: CausalConvOptions = {}): CausalConvResult {
  const { bias = null, state = null, activation } = options;
  const { batch, steps, channels, width } = check(x, weight, bias, state);
  const { device } = x;
  const before = [batch, width - 1, channels] as const;
  const y = empty(device, x.shape);
  const after = empty(device, before);
  const knobs = { WIDTH: width, SILU: activation === "silu", GIVEN: state !== null, BIAS: bias !== null };
  const quads = width <= WIDEST_QUADS && channels % 4 === 0 ? channels / 4 : 0;
  const given = { x, weight, bias: bias ?? weight, before: state ?? x, y, after };
  const places = { dx: 0, dbefore: 0, shares: 0 };
  if (quads > 0) {
    const span = device.software ? SPANS.emulated : SPANS.forward;
    const spans = spansOf(steps, span);
    const sizes = { batch, steps, quads, spans, ...places };
    device.dispatch(quadsKernel, "forward", given, sizes, groupsOf(batch * spans * quads), { ...knobs, SPAN: span });
  } else {
    const sizes = { batch, steps, channels, spans: 1, ...places };
    device.dispatch(convKernel, "forward", given, sizes, groupsOf(batch * (steps + width - 1) * channels), knobs);
  }
  const inputs = [x, weight, ...(bias ? [bias] : []), ...(state ? [state] : [])];
  const at = { bias: bias ? 2 : -1, state: state ? inputs.length - 1 : -1 };
  const saved = [x, weight, bias ?? weight, state ?? x];
  record("causalConv1d", [y, after], inputs, saved, ([dy, dafter], sink, [x, weight, bias, before]) => {
    const shapes = { x: [batch, steps, channels], weight: weight!.shape, bias: [channels] };
    const span = device.software ? SPANS.emulated : SPANS.backward;
    const spans = spansOf(steps, span);
    const { at: places, size } = layOut({
      dx: batch * steps * channels,
      dbefore: batch * (width - 1) * channels,
      shares: batch * spans * (width + 1) * channels,
    });
    const grads = makeRegion(device, { at: places, size });
    const upstream = { dy: dy ?? zeros(device, shapes.x), dafter: dafter ?? x! };
    const buffers = { x: x!, weight: weight!, bias: bias!, before: before!, ...upstream, grads };
    const flags = { ...knobs, UPSTREAM: Boolean(dafter), SPAN: span };
    const run = { batch, steps, channels, spans, ...places };
    if (quads > 0) {
      const vectors = { dx: places.dx / 4, dbefore: places.dbefore / 4, shares: places.shares / 4 };
      const sizes = { batch, steps, quads, spans, ...vectors };
      device.dispatch(quadsKernel, "backward", buffers, sizes, groupsOf(batch * spans * quads), flags);
    } else device.dispatch(convKernel, "backward", buffers, run, groupsOf(batch * spans * channels), flags);
    const results: (Tensor | null)[] = [windowOf(grads, places.dx, shapes.x)];
    if (sink.needs(1) || (at.bias > 0 && sink.needs(at.bias))) {
      const dweight = placeOf(device, sink, 1, shapes.weight);
      const dbias = knobs.BIAS ? placeOf(device, sink, at.bias, shapes.bias) : null;
      const spare = dbias ?? { grad: empty(device, shapes.bias), accumulate: false };
      const out = { parts: grads, dweight: dweight.grad, dbias: spare.grad };
      const added = { ...knobs, ADD_WEIGHT: dweight.accumulate, ADD_BIAS: spare.accumulate };
      device.dispatch(convKernel, "collect", out, run, groupsOf((width + 1) * channels), added);
      results.push(dweight.returned, ...(dbias ? [dbias.returned] : []));
    } else results.push(null, ...(knobs.BIAS ? [null] : []));
    if (at.state > 0) results.push(sink.needs(at.state) ? windowOf(grads, places.dbefore, before!.shape) : null);
    return results;
  });
  return { y, state: after };
}

const spansOf = (steps: number, span: number) => Math.max(1, Math.ceil(steps / span));
const groupsOf = (lanes: number) => [Math.ceil(lanes / 64)] as const;

function check(x: Tensor, weight: Tensor, bias: Tensor | null, state: Tensor | null) {
  checkFloats("causalConv1d", x, weight, ...(bias ? [bias] : []), ...(state ? [state] : []));
  if (x.shape.length !== 3) throw new ShapeError(`causalConv1d: x is ${show(x.shape)}; it must be [B, T, C]`);
  const [batch, steps, channels] = x.shape as readonly [number, number, number];
  const width = weight.shape.at(-1) ?? 0;
  if (!(sameShape(weight.shape, [channels, 1, width]) || sameShape(weight.shape, [channels, width])) || width < 1) {
    throw new ShapeError(
      `causalConv1d: weight is ${show(weight.shape)} and x is ${show(x.shape)}; weight must be [${channels}, 1, K]`,
    );
  }
  if (width > WIDEST) {
    throw new ValueError(
      `causalConv1d: the kernel is ${width} steps wide and can be ${WIDEST} at most; use a narrower one`,
    );
  }
  if (bias && !sameShape(bias.shape, [channels])) {
    throw new ShapeError(`causalConv1d: bias is ${show(bias.shape)}; for x ${show(x.shape)} it must be [${channels}]`);
  }
  const before = [batch, width - 1, channels];
  if (state && !sameShape(state.shape, before)) {
    throw new ShapeError(
      `causalConv1d: state is ${show(state.shape)}; for x ${show(x.shape)} and a kernel of ${width} steps it must be ${show(before)}`,
    );
  }
  return { batch, steps, channels, width };
}
