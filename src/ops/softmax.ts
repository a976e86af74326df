import softmaxKernel from "../../kernels/softmax/softmax.wgsl";
import { record } from "../autograd/graph.ts";
import { empty } from "../tensor/create.ts";
import { axisOf, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { launchRows } from "./rows.ts";
import { tunedFor } from "./tuned.ts";

/**
 * exp(x) normalised to sum 1 along an axis, of the shape of `x`. Entries of -inf get 0; where an axis holds
 * nothing else, the result is zeros.
 * @throws ShapeError for an axis that `x` does not have
 */
export function softmax(x: Tensor, axis = -1): Tensor<"f32"> {
  return normalise("softmax", x, axis, false);
}

/** log(softmax(x)) without cancellation, of the shape of `x`; -inf where `x` is. */
export function logSoftmax(x: Tensor, axis = -1): Tensor<"f32"> {
  return normalise("logSoftmax", x, axis, true);
}

function normalise(name: string, x: Tensor, axis: number, log: boolean): Tensor<"f32"> {
  x.check(name);
  const at = axisOf(axis, x.shape.length, name);
  const length = x.shape[at] as number;
  const inner = sizeOf(x.shape.slice(at + 1));
  const y = empty(x.device, x.shape);
  if (x.size === 0) return y;
  const { entries, params, groups, knobs } =
    inner === 1 ? alongRows(x, length, log) : alongColumns(x, length, inner, log);
  x.device.dispatch(softmaxKernel, entries[0], { x, y }, params, groups, knobs);
  record(name, [y], [x], [y], ([dy], _sink, [result]) => {
    if (!dy) return [null];
    const dx = empty(dy.device, dy.shape);
    dy.device.dispatch(softmaxKernel, entries[1], { result, dy, dx }, params, groups, knobs);
    return [dx];
  });
  return y;
}

function alongRows(x: Tensor, length: number, log: boolean) {
  const rows = x.size / length;
  const { words, groups, knobs } = launchRows(
    x.device,
    rows,
    length,
    length % 4 === 0,
    tunedFor(x.device).rows.softmax,
  );
  return {
    entries: ["forward", "backward"] as const,
    params: { rows, words, inner: 1 },
    groups,
    knobs: { ...knobs, LOG: log },
  };
}

/** Every invocation walks along the axis by itself; neighbours read neighbouring columns. */
function alongColumns(x: Tensor, length: number, inner: number, log: boolean) {
  const vectors = inner % 4 === 0;
  const columns = x.size / length / (vectors ? 4 : 1);
  const params = { rows: columns, words: length, inner: vectors ? inner / 4 : inner };
  const knobs = { word: vectors ? "vec4f" : "f32", WIDTH: vectors ? 4 : 1, LANES: 64, ROWS: 1, LOG: log };
  return {
    entries: ["forwardColumns", "backwardColumns"] as const,
    params,
    groups: [Math.ceil(columns / 64)] as const,
    knobs,
  };
}
