import type { Device } from "../gpu/device.ts";
import { ValueError } from "../gpu/errors.ts";
import { tensor } from "../tensor/create.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How a Transformer tells tokens at different places apart. */
export type Positions = "rotary" | "learned" | "sinusoidal";

export const positionKinds: readonly Positions[] = ["rotary", "learned", "sinusoidal"];

/**
 * The fixed table of Vaswani et al. 2017, Attention Is All You Need, section 3.5: row t is sin(t f_i) in column 2i and
 * cos(t f_i) in column 2i + 1, with f_i = 10000^(-2i / channels).
 * @returns [length, channels]
 * @throws ValueError for a size below 1
 */
export function sinusoidalPositions(device: Device, length: number, channels: number): Tensor<"f32"> {
  for (const [name, value] of Object.entries({ length, channels })) {
    if (!Number.isInteger(value) || value < 1)
      throw new ValueError(`sinusoidalPositions: ${name} is ${value} and must be a whole number of 1 or more`);
  }
  const values = Float32Array.from({ length: length * channels }, (_, n) => {
    const [t, column] = [Math.floor(n / channels), n % channels];
    const angle = t * 10_000 ** (-(column - (column % 2)) / channels);
    return column % 2 === 0 ? Math.sin(angle) : Math.cos(angle);
  });
  return tensor(device, values, [length, channels]);
}
