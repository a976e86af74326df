import { add, mul } from "../../ops/binary.ts";
import { cast } from "../../ops/cast.ts";
import { concat } from "../../ops/concat.ts";
import { embedding } from "../../ops/embedding.ts";
import { reshape } from "../../ops/reshape.ts";
import { less, where } from "../../ops/where.ts";
import { type Shifted, type ShiftOptions, tokenShift } from "../../ops/wkv/shift.ts";
import { tensor, zeros } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";

/** Which steps of a batch padded on the right count; the states are those after each sequence's own last step. */
export interface Padding {
  /** [B] u32 or i32 */
  readonly lengths: Tensor;
  /** [B, T, 1], 1 where a step counts. */
  readonly inside: Tensor<"u32">;
  /** [B, T, 1], the same as numbers. */
  readonly weight: Tensor<"f32">;
  /** [B], the row of each sequence's last step among T + 1 a sequence, of which the first is the step before. */
  readonly ends: Tensor<"i32">;
}

/** A raw decay (log of minus its logarithm) at which nothing fades. */
const STILL = -100;

/** @param lengths [B], none above `steps` */
export function paddingOf(lengths: Tensor, steps: number): Padding {
  const { device } = lengths;
  const batch = lengths.size;
  const counts = cast(lengths, "f32");
  const line = (size: number, step: number) => Float32Array.from({ length: size }, (_, i) => i * step);
  const inside = less(tensor(device, line(steps, 1), [1, steps, 1]), reshape(counts, [batch, 1, 1]));
  const ends = cast(add(counts, tensor(device, line(batch, steps + 1))), "i32");
  return { lengths, inside, weight: cast(inside, "f32"), ends };
}

/** Token shift whose last step is that of each sequence's own length. */
export function shiftWithin(
  x: Tensor,
  before: Tensor | null,
  mixes: readonly Tensor[],
  options: ShiftOptions,
  padding: Padding | null,
): Shifted {
  const shifted = tokenShift(x, before, mixes, options);
  if (!padding) return shifted;
  const [batch = 0, steps = 0, channels = 0] = x.shape;
  const first = before ? reshape(before, [batch, 1, channels]) : zeros(x.device, [batch, 1, channels]);
  const rows = reshape(concat([first, x], 1), [batch * (steps + 1), channels]);
  return { mixed: shifted.mixed, last: embedding(rows, padding.ends) };
}

/** Raw decays [B, T, ...], at padding those that let nothing fade. */
export function stillDecay(w: Tensor, { inside }: Padding): Tensor<"f32"> {
  return where(alongside(inside, w), w, STILL);
}

/** What a step adds, [B, T, ...]; nothing at padding. */
export function silenced(x: Tensor, { weight }: Padding): Tensor<"f32"> {
  return mul(x, alongside(weight, x)) as Tensor<"f32">;
}

/** [B, T, 1] with as many axes as x. */
function alongside<T extends Tensor>(mask: T, x: Tensor): T {
  const [batch = 0, steps = 0] = mask.shape;
  return reshape(mask, [batch, steps, ...new Array<number>(Math.max(x.shape.length - 2, 1)).fill(1)]) as unknown as T;
}
