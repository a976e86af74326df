import normKernel from "../../kernels/norm/norm.wgsl";
import { record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { share } from "../tensor/view.ts";
import { checkFloats } from "./check.ts";
import { affineGradients, checkNorm, planNorm } from "./norm.ts";

/**
 * The step of a residual stream in one launch: stream = x + update and y = layerNorm(stream). Its gradient takes those of both
 * results in one launch as well.
 * @param update of the shape of x; null: stream is x, and the gradients of its two uses are still added in the launch
 * @param weight [C], C the last size
 * @param bias [C]
 * @throws ShapeError naming the tensor that does not fit
 */
export function addLayerNorm(
  x: Tensor,
  update: Tensor | null,
  weight: Tensor,
  bias: Tensor,
  eps = 1e-5,
): { readonly stream: Tensor<"f32">; readonly y: Tensor<"f32"> } {
  const op = "addLayerNorm";
  const channels = x.shape.at(-1) ?? 0;
  if (channels === 0)
    throw new ShapeError(`${op}: x is ${show(x.shape)}; it needs a last axis of at least one element`);
  checkNorm(op, x, channels, weight, bias, eps);
  if (update) checkFloats(op, update);
  if (update && !sameShape(update.shape, x.shape))
    throw new ShapeError(`${op}: x is ${show(x.shape)} and update is ${show(update.shape)}; they must be equal`);
  const { device } = x;
  const y = empty(device, x.shape);
  const stream = update ? empty(device, x.shape) : (share(x) as Tensor<"f32">);
  const launch = planNorm(x, { samples: x.size / channels, groups: 1, channels, inner: 1 }, eps);
  const { params, groups } = launch;
  const knobs = { ...launch.knobs, CENTER: true, WEIGHT: true, BIAS: true };
  const stats = empty(device, [params.rows, 2]);
  const buffers = { x, update: update ?? x, weight, bias, y, stats };
  if (update)
    device.dispatch(normKernel, "forwardSum", { ...buffers, stream }, params, groups, { ...knobs, UPDATE: true });
  else device.dispatch(normKernel, "forward", buffers, params, groups, knobs);
  const inputs = [x, weight, bias, ...(update ? [update] : [])];
  record(op, [stream, y], inputs, [stream, stats, weight], ([dstream, dy], sink, [x, rowstats, weight]) => {
    const wants = { weight: sink.needs(1), bias: sink.needs(2) };
    const through = (dx: Tensor | null, sums: readonly (Tensor | null)[]) => {
      const [dweight = null, dbias = null] = sums;
      return [sink.needs(0) ? dx : null, dweight, dbias, ...(update && sink.needs(3) ? [dx] : [])];
    };
    if (!dy) return through(dstream ?? null, []);
    if (wants.weight || wants.bias) {
      const upstream = { x, rowstats, weight, dy, dstream: dstream ?? null };
      const { dx, sums } = affineGradients(upstream, sink, wants, { ...launch, knobs }, 2);
      return through(dx, sums);
    }
    const dx = empty(device, x.shape);
    const given = { x, rowstats, weight, dy, dstream: dstream ?? dy, dx };
    device.dispatch(normKernel, "backward", given, params, groups, { ...knobs, SKIP: Boolean(dstream) });
    return through(dx, []);
  });
  stats.dispose();
  return { stream, y };
}
