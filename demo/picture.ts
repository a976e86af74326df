import type { LookPart } from "./protocol.ts";

export type Rgb = readonly [red: number, green: number, blue: number];

/** Colours of a picture: of nothing, of the largest value, and of the most negative one. */
export interface Palette {
  readonly zero: Rgb;
  readonly high: Rgb;
  readonly low: Rgb;
}

/** This share of what is not zero lies within the colours' range: a few values that stand out would leave all others pale. */
const WITHIN = 0.95;

/** The magnitude from which on a value has the full colour. */
export function scaleOf({ values }: Pick<LookPart, "values">): number {
  const magnitudes = values
    .map(Math.abs)
    .filter((magnitude) => magnitude > 0)
    .sort();
  return magnitudes[Math.floor(WITHIN * (magnitudes.length - 1))] ?? 1;
}

/** How far from nothing to the full colour of its sign a value stands: -1 to 1. */
export const toneOf = (value: number, scale: number): number => Math.max(-1, Math.min(1, value / scale));

/** The colour of a tone. */
export function tint(tone: number, { zero, high, low }: Palette): Rgb {
  const end = tone < 0 ? low : high;
  const mix = (c: number) =>
    Math.round((zero[c] as number) + Math.abs(tone) * ((end[c] as number) - (zero[c] as number)));
  return [mix(0), mix(1), mix(2)];
}

/** One pixel a value, RGBA, row by row. */
export function paint(part: Pick<LookPart, "values">, palette: Palette): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(part.values.length * 4);
  const scale = scaleOf(part);
  part.values.forEach((value, i) => {
    pixels.set([...tint(toneOf(value, scale), palette), 255], 4 * i);
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
