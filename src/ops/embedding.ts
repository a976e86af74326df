import embeddingKernel from "../../kernels/embedding/embedding.wgsl";
import halfKernel from "../../kernels/embedding/half.wgsl";
import { record } from "../autograd/graph.ts";
import { ShapeError } from "../gpu/errors.ts";
import type { KnobValues, ParamValues } from "../gpu/kernel.ts";
import { empty, fill } from "../tensor/create.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkHalfWeight } from "./half.ts";

/** Options of `embedding`. */
export interface EmbeddingOptions {
  /** Id whose row gets no gradient; its values are looked up as any other's. */
  readonly paddingIdx?: number;
}

/** Comparisons of an id with a row of the table, up to which one launch that does them all is quicker than three that sort. */
const FEW_COMPARISONS = 2 ** 18;
/** Rows a position, up to which that launch does not waste most of its invocations. */
const FEW_ROWS = 2;

/** Neighbours in the order of ids that an invocation adds up, SPAN of the kernel. */
const SPAN = 16;

/**
 * Looks rows of `weight` [V, C] up by `ids` [...] (u32 or i32): [..., C]. The gradient is summed in a fixed order and repeats
 * bit by bit. An id outside the table gives a row of NaN: ids are known to the GPU alone, and zeros would hide them.
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
    if (vocabulary * params.positions <= FEW_COMPARISONS && vocabulary <= FEW_ROWS * params.positions) {
      const groups = [Math.ceil((vocabulary * words) / 64)] as const;
      device.dispatch(embeddingKernel, "backward", { quads: ids!, dy, dweight }, params, groups, {
        ...knobs,
        ADD: accumulate,
      });
    } else {
      if (!accumulate) fill(dweight, 0);
      scatter(ids!, dy, dweight, params, knobs);
    }
    return [into ? null : dweight];
  });
  return y;
}

/** Adds the rows of dy to those of dweight that `ids` name, in three launches. */
function scatter(
  ids: Tensor,
  dy: Tensor,
  dweight: Tensor,
  params: ParamValues<typeof embeddingKernel>,
  knobs: KnobValues<typeof embeddingKernel>,
): void {
  const { device } = dy;
  const { positions, words } = params;
  if (positions === 0) return;
  const stretches = Math.ceil(positions / SPAN);
  const order = empty(device, [positions, 2], "i32");
  const shares = empty(device, [stretches, 2, dy.size / positions]);
  const groups = [Math.ceil((stretches * words) / 64)] as const;
  device.dispatch(embeddingKernel, "rank", { ids, quads: ids, order }, params, [Math.ceil(positions / 64)], knobs);
  device.dispatch(embeddingKernel, "sum", { sorted: order, dy, shares, dweight }, params, groups, knobs);
  device.dispatch(embeddingKernel, "join", { sorted: order, parts: shares, dweight }, params, groups, knobs);
  order.dispose();
  shares.dispose();
}
