/**
 * IEEE 754 binary16 (F16) and bfloat16 (BF16) against float32.
 * Widening is exact; narrowing rounds to nearest, ties to even, keeps subnormals, and turns overflow into infinity.
 */

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

function bitsOf(value: number): number {
  float[0] = value;
  return word[0] as number;
}

/** The number whose F16 bits are `bits`. */
export function halfToFloat(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
}

/** F16 bits of `value`, which is taken as a float32. */
export function floatToHalf(value: number): number {
  const bits = bitsOf(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 lies half way between the largest half, 65504, and the next power of two.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Below 2^-14 halves are multiples of 2^-24: a float64 near 2^28 has just that spacing, so the addition rounds to even.
  if (magnitude < 0x38800000) {
    const shift = 1.5 * 2 ** 28;
    return sign | ((Math.abs(value) + shift - shift) * 2 ** 24);
  }
  const roundedUp = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((roundedUp >>> 13) - (112 << 10));
}

/** The number whose BF16 bits are `bits`. */
export function bfloatToFloat(bits: number): number {
  word[0] = bits << 16;
  return float[0] as number;
}

/** BF16 bits of `value`, which is taken as a float32. */
export function floatToBfloat(value: number): number {
  const bits = bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** Widens F16 `source` into `target`, element by element. */
export function widenHalf(source: Uint16Array, target: Float32Array): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < source.length; i++) {
    const half = source[i] as number;
    // Shifted into place the exponent is 112 too small; the product restores it and normalises subnormals.
    bits[i] = (half & 0x7fff) << 13;
    target[i] = (target[i] as number) * 2 ** 112;
    if ((half & 0x7c00) === 0x7c00) bits[i] = 0x7f800000 | ((half & 1023) << 13);
    bits[i] = (bits[i] as number) | ((half & 0x8000) << 16);
  }
}

/** Widens BF16 `source` into `target`, element by element. */
export function widenBfloat(source: Uint16Array, target: Float32Array): void {
  const bits = new Uint32Array(target.buffer, target.byteOffset, target.length);
  for (let i = 0; i < source.length; i++) bits[i] = (source[i] as number) << 16;
}
