import type { LookPart } from "./protocol.ts";

export type Rgb = readonly [red: number, green: number, blue: number];

/** Colours of a picture: of nothing, of the largest value, and of the most negative one. */
export interface Palette {
  readonly zero: Rgb;
  readonly high: Rgb;
  readonly low: Rgb;
}

/** The largest magnitude in a part; 1 where all is zero. */
export const scaleOf = ({ values }: LookPart): number =>
  values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;

/** One pixel a value, RGBA, row by row: attention on its own scale of 0 to 1, states from the lowest to the highest value. */
export function paint(part: LookPart, tokens: number, { zero, high, low }: Palette): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(part.rows * tokens * 4);
  // A few weights near 1 would leave all others dark.
  const bend = part.kind === "attention" ? Math.sqrt : (share: number) => share;
  const scale = part.kind === "attention" ? 1 : scaleOf(part);
  part.values.forEach((value, i) => {
    const share = bend(Math.min(1, Math.abs(value) / scale));
    const end = value < 0 ? low : high;
    for (let c = 0; c < 3; c++)
      pixels[4 * i + c] = (zero[c] as number) + share * ((end[c] as number) - (zero[c] as number));
    pixels[4 * i + 3] = 255;
  });
  return pixels;
}

/** `#rrggbb` or `#rgb`. */
export function rgbOf(hex: string): Rgb {
  const digits = hex.trim().replace("#", "");
  const wide = digits.length === 3 ? [...digits].map((digit) => digit + digit).join("") : digits;
  const value = Number.parseInt(wide, 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}
