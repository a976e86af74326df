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

/** F16 bits of a magnitude, as bits of float32, beyond the normal halves; `overflow` stands for what is too large. */
function halfBeyond(magnitude: number, overflow: number): number {
  if (magnitude > 0x7f800000) return 0x7e00;
  if (magnitude >= TOO_LARGE) return overflow;
  // Below 2^-14 halves are multiples of 2^-24: float64 has just that spacing near 2^28, so the addition rounds to even.
  word[0] = magnitude;
  const shift = 1.5 * 2 ** 28;
  return ((float[0] as number) + shift - shift) * 2 ** 24;
}

/** 2^-14, the smallest normal half, and 65520, half way between the largest half and the next power of two. */
const [SMALLEST_NORMAL, TOO_LARGE] = [0x38800000, 0x477ff000];
const INFINITE = 0x7c00;
/** 65504 */
const LARGEST = 0x7bff;

function halvesOf(source: Float32Array, overflow: number): Uint16Array<ArrayBuffer> {
  const bits = new Uint32Array(source.buffer, source.byteOffset, source.length);
  const target = new Uint16Array(source.length);
  for (let i = 0; i < target.length; i++) {
    const own = bits[i] as number;
    const magnitude = own & 0x7fffffff;
    const normal = magnitude >= SMALLEST_NORMAL && magnitude < TOO_LARGE;
    const half = normal
      ? ((magnitude + 0xfff + ((magnitude >>> 13) & 1)) >>> 13) - (112 << 10)
      : halfBeyond(magnitude, overflow);
    target[i] = ((own >>> 16) & 0x8000) | half;
  }
  return target;
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
  return halvesOf(source, INFINITE);
}

/** Narrows float32 to BF16 bits. */
export function narrowBfloat(source: Float32Array): Uint16Array<ArrayBuffer> {
  const target = new Uint16Array(source.length);
  for (let i = 0; i < source.length; i++) target[i] = floatToBfloat(source[i] as number);
  return target;
}

/** Narrows float32 to F16 bits as the device stores weights: what would overflow becomes the largest half instead. */
export function packHalves(source: Float32Array): Uint16Array<ArrayBuffer> {
  return halvesOf(source, LARGEST);
}
