import embeddingKernel from "../../kernels/embedding/embedding.wgsl";
import halfKernel from "../../kernels/embedding/half.wgsl";
import { record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import { empty, fill } from "../tensor/create.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkHalfWeight } from "./half.ts";

/** Options of `embedding`. */
export interface EmbeddingOptions {
  /** Id whose row gets no gradient; its values are looked up as any other's. */
  readonly paddingIdx?: number;
}

/** Up to this many table rows for each position, the gradient gives every row invocations; else every position. */
const ROWS_A_POSITION = 2;

/**
 * Looks rows of `weight` [V, C] up by `ids` [...] (u32 or i32): [..., C]. The gradient is summed in the order of the ids and
 * repeats bit by bit. An id outside the table gives a row of NaN: ids are known to the GPU alone, and zeros would hide them.
 * The table may be stored as halves (`toHalf`), and has no gradient then.
 * @throws ShapeError if `weight` is no matrix or the ids are f32
 */
export function embedding(weight: Tensor, ids: Tensor, options: EmbeddingOptions = {}): Tensor<"f32"> {
  weight.check("embedding", true);
  ids.check("embedding");
  const [vocabulary, channels] = weight.shape;
  if (weight.shape.length !== 2 || vocabulary === undefined || channels === undefined || weight.dtype !== "f32") {
    throw new ShapeError(`embedding: weight is ${weight.dtype} ${show(weight.shape)}; it must be f32 [V, C]`);
  }
  if (ids.dtype === "f32") throw new ShapeError(`embedding: ids ${show(ids.shape)} are f32; they must be u32 or i32`);
  const { device } = weight;
  checkHalfWeight("embedding", weight);
  const y = empty(device, [...ids.shape, channels]);
  if (weight.half) {
    const sizes = { vocabulary, channels, size: y.size };
    device.dispatch(halfKernel, "forward", { weight, ids, y }, sizes, [Math.ceil(y.size / 256)]);
    return y;
  }
  const vectors = channels % 4 === 0;
  const words = vectors ? channels / 4 : channels;
  const params = { vocabulary, words, positions: ids.size, padding: options.paddingIdx ?? -1 };
  const knobs = { word: vectors ? "vec4f" : "f32" };
  device.dispatch(embeddingKernel, "forward", { weight, ids, y }, params, [Math.ceil((ids.size * words) / 64)], knobs);

  record("embedding", [y], [weight], [ids], ([dy], sink, [ids]) => {
    if (!dy) return [null];
    const into = sink.into(0);
    const dweight = into?.grad ?? empty(device, [vocabulary, channels]);
    const accumulate = into?.accumulate ?? false;
    if (vocabulary <= ROWS_A_POSITION * params.positions) {
      const buffers = { quads: ids, dy, dweight };
      device.dispatch(embeddingKernel, "backward", buffers, params, [Math.ceil((vocabulary * words) / 64)], {
        ...knobs,
        ADD: accumulate,
      });
    } else {
      if (!accumulate) fill(dweight, 0);
      device.dispatch(embeddingKernel, "scatter", { ids, quads: ids, dy, dweight }, params, [params.positions], knobs);
    }
    return [into ? null : dweight];
  });
  return y;
}
