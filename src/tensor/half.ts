/**
 * IEEE 754 binary16 (F16) and bfloat16 (BF16), as bits in Uint16Arrays, against float32.
 * Widening is exact; narrowing rounds to nearest, ties to even, keeps subnormals, and turns overflow into infinity.
 */

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** float32 bits of `value`, rounded to float32 first. */
function bitsOf(value: number): number {
  float[0] = value;
  return word[0] as number;
}

/** F16 bits of a float32. */
function floatToHalf(value: number): number {
  const bits = bitsOf(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  // 65520 lies half way between the largest half, 65504, and the next power of two.
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  // Below 2^-14 halves are multiples of 2^-24: float64 has just that spacing near 2^28, so the addition rounds to even.
  if (magnitude < 0x38800000) {
    const shift = 1.5 * 2 ** 28;
    return sign | ((Math.abs(float[0] as number) + shift - shift) * 2 ** 24);
  }
  const rounded = magnitude + 0xfff + ((magnitude >>> 13) & 1);
  return sign | ((rounded >>> 13) - (112 << 10));
}

/** BF16 bits of a float32. */
function floatToBfloat(value: number): number {
  const bits = bitsOf(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return (bits >>> 16) | 0x40;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** Widens F16 bits to float32. */
export function widenHalf(source: Uint16Array): Float32Array<ArrayBuffer> {
  const target = new Float32Array(source.length);
  const bits = new Uint32Array(target.buffer);
  for (let i = 0; i < source.length; i++) {
    const half = source[i] as number;
    // Shifted into place the exponent is 112 too small; the product restores it and normalises subnormals.
    bits[i] = (half & 0x7fff) << 13;
    target[i] = (target[i] as number) * 2 ** 112;
    if ((half & 0x7c00) === 0x7c00) bits[i] = 0x7f800000 | ((half & 1023) << 13);
    bits[i] = (bits[i] as number) | ((half & 0x8000) << 16);
  }
  return target;
}

/** Widens BF16 bits to float32. */
export function widenBfloat(source: Uint16Array): Float32Array<ArrayBuffer> {
  const target = new Float32Array(source.length);
  const bits = new Uint32Array(target.buffer);
  for (let i = 0; i < source.length; i++) bits[i] = (source[i] as number) << 16;
  return target;
}

/** Narrows float32 to F16 bits. */
export function narrowHalf(source: Float32Array): Uint16Array<ArrayBuffer> {
  const target = new Uint16Array(source.length);
  for (let i = 0; i < source.length; i++) target[i] = floatToHalf(source[i] as number);
  return target;
}

/** Narrows float32 to BF16 bits. */
export function narrowBfloat(source: Float32Array): Uint16Array<ArrayBuffer> {
  const target = new Uint16Array(source.length);
  for (let i = 0; i < source.length; i++) target[i] = floatToBfloat(source[i] as number);
  return target;
}

/** Largest finite half. */
const LARGEST = 65504;

/** Narrows float32 to F16 bits as the device stores weights: what would overflow becomes the largest half instead. */
export function packHalves(source: Float32Array): Uint16Array<ArrayBuffer> {
  return narrowHalf(source.map((value) => Math.max(-LARGEST, Math.min(LARGEST, value))));
}
