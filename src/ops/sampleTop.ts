import topKernel from "../../kernels/sample/top.wgsl";
import { noGrad } from "../autograd/mode.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { softmax } from "./softmax.ts";

/** The largest elements of each row, [..., count], largest first, and where they are. */
export interface Top {
  readonly values: Tensor<"f32">;
  readonly ids: Tensor<"u32">;
}

/** PARTS of top.wgsl. */
const MOST_PARTS = 256;

/** Parts of a row: one for each lane, and four for each element that is wanted, so that few others come on the list. */
function partsFor(count: number, lanes: number): number {
  return Math.min(MOST_PARTS, 2 ** Math.ceil(Math.log2(Math.max(lanes, 4 * count))));
}

/**
 * The `count` largest elements along the last axis, [..., n] -> [..., count], equal ones by index. Up to 128 take two passes over
 * a row, and so does every further 128. NaN is never among them: places that nothing is left for get the value -1e30 and the
 * id 0xffffffff. Not recorded.
 * @throws ValueError unless count is from 1 to the size of the axis
 */
export function topK(x: Tensor, count: number): Top {
  x.check("topK");
  const columns = x.shape.at(-1);
  if (columns === undefined || x.dtype !== "f32")
    throw new ShapeError(`topK: the tensor is ${x.dtype} ${show(x.shape)}; it must be f32 with at least one axis`);
  if (!(Number.isInteger(count) && count >= 1 && count <= columns)) {
    throw new ValueError(`topK: the count is ${count} and rows have ${columns} elements; use 1 to ${columns}`);
  }
  const shape = [...x.shape.slice(0, -1), count];
  const values = empty(x.device, shape);
  const ids = empty(x.device, shape, "u32");
  const rows = x.size / columns;
  const LANES = x.device.software ? 8 : 256;
  const params = { rows, columns, count, parts: Math.min(columns, partsFor(count, LANES)) };
  x.device.dispatch(topKernel, "forward", { x, ids, values }, params, [rows], { LANES });
  return { values, ids };
}

/** The `count` most probable tokens of logits [..., V] with their probabilities: what a page shows as "next token". */
export function softmaxTop(logits: Tensor, count: number): Top {
  return noGrad(() => {
    const p = softmax(logits);
    const top = topK(p, count);
    p.dispose();
    return top;
  });
}
