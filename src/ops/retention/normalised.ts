import { detach } from "../../autograd/graph.ts";
import { ShapeError } from "../../gpu/errors.ts";
import { tensor } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { div, maximum, minimum, mul } from "../binary.ts";
import { checkFloats } from "../check.ts";
import { matmul } from "../matmul.ts";
import { sum } from "../reduce.ts";
import { permute, transpose } from "../transpose.ts";
import { abs } from "../unary.ts";

/** Bounds of what a row of scores is divided by. */
const LEAST = 1;
const MOST = 5e4;

/**
 * Retention with the published decays whose rows of scores are scaled before they meet the values: the mask by the root
 * of its sum, then the scores by the sum of their sizes, which takes no gradient. A norm of each head undoes any scale but
 * for its eps, so this is for results as close as possible to a reference that scales: it takes memory for T^2 scores and
 * has no recurrent form. Sun et al. 2023, https://arxiv.org/abs/2307.08621, section 2.3.
 * @param q [B, T, H, K]
 * @param k [B, T, H, K]
 * @param v [B, T, H, V]
 * @throws ShapeError if they do not fit together
 */
export function retentionNormalised(q: Tensor, k: Tensor, v: Tensor): Tensor<"f32"> {
  checkFloats("retentionNormalised", q, k, v);
  const [, steps = 0, heads = 0] = q.shape;
  if (q.shape.length !== 4 || !sameShape(q.shape, k.shape) || !sameShape(v.shape.with(-1, 0), q.shape.with(-1, 0))) {
    throw new ShapeError(
      `retentionNormalised: q is ${show(q.shape)}, k ${show(k.shape)} and v ${show(v.shape)}; all must be [B, T, H, size], q and k of one size`,
    );
  }
  const mask = new Float32Array(heads * steps * steps);
  for (let h = 0; h < heads; h++) {
    const gamma = 1 - 2 ** (-5 - h);
    for (let n = 0; n < steps; n++) {
      const total = (1 - gamma ** (n + 1)) / (1 - gamma);
      for (let m = 0; m <= n; m++) mask[(h * steps + n) * steps + m] = gamma ** (n - m) / Math.sqrt(total);
    }
  }
  const [a, b, c] = [q, k, v].map((x) => permute(x, [0, 2, 1, 3])) as [Tensor, Tensor, Tensor];
  const scores = mul(matmul(a, transpose(b)), tensor(q.device, mask, [heads, steps, steps]));
  const sizes = sum(abs(detach(scores)), -1, { keepDims: true });
  const scaled = div(scores, minimum(maximum(sizes, LEAST), MOST));
  return permute(matmul(scaled, c), [0, 2, 1, 3]);
}
