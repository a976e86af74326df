import type { Tensor } from "../src/tensor/tensor.ts";

export interface Mismatch {
  /** Which tensor of the line's results. */
  readonly output: number;
  /** First wrong element. */
  readonly index: number;
  readonly actual: number;
  readonly expected: number;
  /** Wrong elements of that tensor. */
  readonly wrong: number;
  readonly size: number;
}

/** The first wrong element of a tensor, or null: |actual - expected| <= tolerance (|expected| + largest |expected|). */
export function compare(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  output = 0,
): Mismatch | null {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i] as number));
  let first = -1;
  let wrong = 0;
  for (let i = 0; i < Math.max(expected.length, actual.length); i++) {
    const [a, e] = [actual[i] ?? Number.NaN, expected[i] ?? Number.NaN];
    // Written so that NaN counts as wrong.
    if (Math.abs(a - e) <= tolerance * (Math.abs(e) + largest)) continue;
    wrong++;
    if (first < 0) first = i;
  }
  if (first < 0) return null;
  const [a, e] = [actual[first] ?? Number.NaN, expected[first] ?? Number.NaN];
  return { output, index: first, actual: a, expected: e, wrong, size: expected.length };
}

/** Reads the results back and compares each with what it must be. */
export async function checkOutputs(
  outputs: readonly Tensor[],
  expected: readonly ArrayLike<number>[],
  tolerance: number,
): Promise<Mismatch | null> {
  if (outputs.length !== expected.length)
    throw new RangeError(`check: ${outputs.length} results where ${expected.length} were expected; correct the line`);
  for (const [i, output] of outputs.entries()) {
    const mismatch = compare(await output.data(), expected[i] as ArrayLike<number>, tolerance, i);
    if (mismatch) return mismatch;
  }
  return null;
}

/** One sentence for people. */
export function explain({ output, index, actual, expected, wrong, size }: Mismatch): string {
  return `WRONG at index ${index} of output ${output}: ${actual} instead of ${expected} (${wrong} of ${size} wrong)`;
}
