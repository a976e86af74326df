import type { Device } from "../../gpu/device.ts";
import { ValueError } from "../../gpu/errors.ts";
import { tensor } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type FadingResult, fadingAttention } from "./fading.ts";

/**
 * Retention: y_n = sum over m <= n of gamma^(n-m) (q_n . k_m) v_m, with a gamma of its own for each head. The same result
 * at once, step by step or in pieces. Sun et al. 2023, https://arxiv.org/abs/2307.08621, equations 5 to 7.
 * @param q [B, T, H, K]
 * @param k [B, T, H, K]
 * @param v [B, T, H, V]
 * @param logDecay [H], log(gamma): `retentionDecays` has the published ones
 * @param state [B, H, K, V] after the steps before; zeros if left out
 * @throws ShapeError naming the tensor that does not fit
 */
export function retention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  logDecay: Tensor,
  state: Tensor | null = null,
): FadingResult {
  return fadingAttention("retention", q, k, v, logDecay, state);
}

/** log(1 - 2^(-5-h)) of head h: [H]. Sun et al. 2023, equation 8. */
export function retentionDecays(device: Device, heads: number): Tensor<"f32"> {
  return tensor(
    device,
    Float32Array.from({ length: heads }, (_, h) => Math.log1p(-(2 ** (-5 - h)))),
  );
}

/**
 * Frequencies of RetNet's rotation for `rotary`: 10000^(-i / (K/2 - 1)) a token for pair i, where RoFormer has
 * 10000^(-i / (K/2)). In 2^-32 of a turn.
 * @param size K
 * @returns [K / 2] u32
 * @throws ValueError if K is odd
 */
export function retentionTurns(device: Device, size: number): Tensor<"u32"> {
  if (!(Number.isInteger(size) && size > 0 && size % 2 === 0)) {
    throw new ValueError(`retentionTurns: heads of ${size} elements do not divide into pairs; use heads of even size`);
  }
  const last = Math.max(size / 2 - 1, 1);
  return tensor(
    device,
    Uint32Array.from({ length: size / 2 }, (_, i) => Math.round((10_000 ** (-i / last) / (2 * Math.PI)) * 2 ** 32)),
  );
}
