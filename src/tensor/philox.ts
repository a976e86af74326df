import { ValueError } from "../gpu/errors.ts";

/**
 * Philox4x32-10, a counter-based random number generator: a number is a function of a key and a counter, so any of
 * them can be computed anywhere, in any order, here and in WGSL alike.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
 *
 * Layout used throughout the engine:
 *
 *     counter = (index, call, step lo, step hi)    key = (seed lo, seed hi)
 *
 * index is element / 4 (rounded down) and the element takes word element % 4; call numbers the draws within a step
 * (each dropout layer has its own); step is the 64-bit number of the optimizer or decoding step. Streams of `Random` set the
 * top bit of step hi, which no step reaches, so host and GPU draws of one seed never coincide.
 */

const MULTIPLIER_0 = 0xd2511f53;
const MULTIPLIER_1 = 0xcd9e8d57;
const WEYL_0 = 0x9e3779b9;
const WEYL_1 = 0xbb67ae85;
const ROUNDS = 10;

/** High 32 bits of the 64-bit product of two unsigned 32-bit numbers, by 16-bit halves. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const lowHigh = Math.imul(aLow, bHigh);
  const highLow = Math.imul(aHigh, bLow);
  const middle = (Math.imul(aLow, bLow) >>> 16) + (lowHigh & 0xffff) + (highLow & 0xffff);
  return Math.imul(aHigh, bHigh) + (lowHigh >>> 16) + (highLow >>> 16) + (middle >>> 16);
}

/** Four random words into `out`. */
function philoxInto(out: Uint32Array, c0: number, c1: number, c2: number, c3: number, k0: number, k1: number): void {
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(MULTIPLIER_0, c0);
    const high1 = multiplyHigh(MULTIPLIER_1, c2);
    const low0 = Math.imul(MULTIPLIER_0, c0);
    const low1 = Math.imul(MULTIPLIER_1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + WEYL_0) | 0;
    k1 = (k1 + WEYL_1) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

type Counter = readonly [index: number, call: number, stepLow: number, stepHigh: number];
type Key = readonly [low: number, high: number];

/** The four unsigned 32-bit words of a counter under a key. */
export function philox4x32(counter: Counter, key: Key): [number, number, number, number] {
  const out = new Uint32Array(4);
  philoxInto(out, ...counter, ...key);
  return [...out] as [number, number, number, number];
}

/** Low and high 32 bits of a seed or step, an integer from 0 to 2^53 - 1. */
export function splitWord(value: number, what = "seed"): [low: number, high: number] {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new ValueError(`random: the ${what} must be an integer from 0 to 2^53 - 1, got ${value}`);
  return [value >>> 0, Math.floor(value / 2 ** 32)];
}

/** A word as a number in [0, 1): its high 24 bits times 2^-24, exact in float32. */
export function wordToUniform(word: number): number {
  return (word >>> 8) * 2 ** -24;
}

/** Two words as two independent standard normal numbers (Box and Muller 1958); the first is clamped so that log(0) cannot occur. */
export function wordsToNormals(first: number, second: number): [number, number] {
  const radius = Math.sqrt(-2 * Math.log(Math.max(wordToUniform(first), 2 ** -25)));
  const angle = 2 * Math.PI * wordToUniform(second);
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/** Where a `Random` stands; plain JSON. */
export interface RandomState {
  readonly seed: number;
  readonly stream: number;
  /** Words drawn so far. */
  readonly position: number;
  /** The second half of the last pair of normal numbers, if it is still to come. */
  readonly spare: number | null;
}

/** A sequence of random numbers, fixed by seed and stream (0 to 2^32 - 1). Streams of one seed are independent. */
export class Random {
  readonly seed: number;
  readonly stream: number;
  readonly #keyLow: number;
  readonly #keyHigh: number;
  readonly #words = new Uint32Array(4);
  #position = 0;
  #spare: number | null = null;

  constructor(seed: number, stream = 0) {
    [this.#keyLow, this.#keyHigh] = splitWord(seed);
    if (stream !== stream >>> 0)
      throw new ValueError(`random: the stream must be an integer from 0 to 2^32 - 1, got ${stream}`);
    this.seed = seed;
    this.stream = stream;
  }

  /** A random that goes on where `state` was taken. */
  static from(state: RandomState): Random {
    const random = new Random(state.seed, state.stream);
    splitWord(state.position, "position");
    random.#position = state.position;
    random.#spare = state.spare;
    if (state.position % 4) random.#computeBlock();
    return random;
  }

  state(): RandomState {
    return { seed: this.seed, stream: this.stream, position: this.#position, spare: this.#spare };
  }

  #computeBlock(): void {
    const block = Math.floor(this.#position / 4);
    const blockHigh = Math.floor(block / 2 ** 32);
    philoxInto(this.#words, block | 0, this.stream, blockHigh, 0x80000000, this.#keyLow, this.#keyHigh);
  }

  /** An unsigned 32-bit number. */
  word(): number {
    const lane = this.#position % 4;
    if (lane === 0) this.#computeBlock();
    this.#position++;
    return this.#words[lane] as number;
  }

  /** A number in [0, 1), a multiple of 2^-24. */
  uniform(): number {
    return wordToUniform(this.word());
  }

  /** A standard normal number. */
  normal(): number {
    if (this.#spare !== null) {
      const spare = this.#spare;
      this.#spare = null;
      return spare;
    }
    const [first, second] = wordsToNormals(this.word(), this.word());
    this.#spare = second;
    return first;
  }

  /** An integer in [0, count), from 53 random bits. */
  integer(count: number): number {
    if (!Number.isSafeInteger(count) || count < 1)
      throw new ValueError(`random: integer needs a count from 1 to 2^53 - 1, got ${count}`);
    const high = this.word() >>> 5;
    const low = this.word() >>> 6;
    return Math.floor((high * 2 ** 26 + low) * 2 ** -53 * count);
  }

  /** Fills `array` with uniform numbers in [low, high). */
  fillUniform<A extends Float32Array | Float64Array>(array: A, low = 0, high = 1): A {
    for (let i = 0; i < array.length; i++) array[i] = low + (high - low) * this.uniform();
    return array;
  }

  /** Fills `array` with normal numbers. */
  fillNormal<A extends Float32Array | Float64Array>(array: A, mean = 0, deviation = 1): A {
    for (let i = 0; i < array.length; i++) array[i] = mean + deviation * this.normal();
    return array;
  }

  /** Shuffles `items` in place (Fisher and Yates; Durstenfeld 1964). */
  shuffle<T>(items: T[]): T[] {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [items[i], items[j]] = [items[j] as T, items[i] as T];
    }
    return items;
  }
}
