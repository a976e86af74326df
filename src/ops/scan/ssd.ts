import { ShapeError } from "../../gpu/errors.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { add, mul } from "../binary.ts";
import { checkFloats } from "../check.ts";
import { reshape } from "../reshape.ts";
import { fadingAttention } from "../retention/fading.ts";
import { transpose } from "../transpose.ts";

/** Options of `ssd`. */
export interface SsdOptions {
  /** [H]; adds D x to the result. */
  readonly D?: Tensor | null;
  /** [B, H, P, N] after the steps before; zeros if left out. */
  readonly state?: Tensor | null;
}

export interface SsdResult {
  /** [B, T, H, P] */
  readonly y: Tensor<"f32">;
  /** [B, H, P, N], for the steps that follow. */
  readonly state: Tensor<"f32">;
}

/**
 * The recurrence of Mamba-2, in chunks that are matrix products: S_t = e^(dt A) S_(t-1) + dt x_t B_t^T, y_t = S_t C_t + D x_t.
 * Dao and Gu 2024, https://arxiv.org/abs/2405.21060.
 * @param x [B, T, H, P]
 * @param dt [B, T, H], positive
 * @param A [H], negative
 * @param B [B, T, G, N], each group for H / G heads
 * @param C [B, T, G, N]
 * @throws ShapeError naming the tensor that does not fit
 */
export function ssd(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, options: SsdOptions = {}): SsdResult {
  const { D = null, state = null } = options;
  checkFloats("ssd", x, dt, A, ...(D ? [D] : []), ...(state ? [state] : []));
  const [batch = 0, steps = 0, heads = 0] = x.shape;
  const wanted = { dt: [dt, [batch, steps, heads]], A: [A, [heads]], D: [D, [heads]] } as const;
  for (const [name, [tensor, shape]] of Object.entries(wanted)) {
    if (tensor && (x.shape.length !== 4 || !sameShape(tensor.shape, shape))) {
      throw new ShapeError(
        `ssd: x is ${show(x.shape)} and ${name} is ${show(tensor.shape)}; x must be [B, T, H, P], dt [B, T, H], and A and D [H]`,
      );
    }
  }
  if (state && state.shape.length !== 4) {
    throw new ShapeError(`ssd: the state is ${show(state.shape)}; it must be [B, H, P, N]`);
  }
  const filled = mul(x, reshape(dt, [batch, steps, heads, 1]));
  const { y, state: after } = fadingAttention("ssd", C, B, filled, mul(dt, A), state && transpose(state));
  return { y: D ? add(y, mul(x, reshape(D, [heads, 1]))) : y, state: transpose(after) };
}
