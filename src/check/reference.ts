import type { Shape } from "../tensor/shape.ts";

/** An array of float64 with a shape: what reference functions compute on. */
export interface Ref {
  readonly shape: Shape;
  readonly data: Float64Array;
}

/** A tensor on the host in float64: values in row-major order, or a rule that gives them by index. */
export function ref(shape: Shape, data: ArrayLike<number> | ((i: number) => number)): Ref {
  const size = shape.reduce((product, n) => product * n, 1);
  return {
    shape,
    data: typeof data === "function" ? Float64Array.from({ length: size }, (_, i) => data(i)) : Float64Array.from(data),
  };
}

/** Repeatable numbers in [low, high), rounded to f32; a linear congruential generator is random enough for inputs. */
export function numbers(shape: Shape, low = -2, high = 2, seed = 1): Ref {
  let state = seed * 2654435761 + 12345;
  return ref(shape, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.fround(low + ((high - low) * state) / 2 ** 32);
  });
}

/** Multi-index of element i. */
export function indexOf(i: number, shape: Shape): number[] {
  const index: number[] = [];
  for (let axis = shape.length - 1, rest = i; axis >= 0; axis--) {
    const size = shape[axis] as number;
    index[axis] = rest % size;
    rest = Math.floor(rest / size);
  }
  return index;
}

/** Element of `x` at an index that may be of a larger shape that x is broadcast to. */
export function at(x: Ref, index: readonly number[]): number {
  let offset = 0;
  x.shape.forEach((size, axis) => {
    const place = index[index.length - x.shape.length + axis] as number;
    offset = offset * size + (size === 1 ? 0 : place);
  });
  return x.data[offset] as number;
}

/** Elementwise function with NumPy broadcasting. */
export function broadcast(f: (...values: number[]) => number, ...inputs: readonly Ref[]): Ref {
  const rank = Math.max(...inputs.map((x) => x.shape.length));
  const shape = Array.from({ length: rank }, (_, axis) => {
    const sizes = inputs.map((x) => x.shape[x.shape.length - rank + axis] ?? 1);
    return sizes.find((n) => n !== 1) ?? 1;
  });
  return ref(shape, (i) => f(...inputs.map((x) => at(x, indexOf(i, shape)))));
}

/** Reduces over axes; the result has them as size 1. */
export function reduceRef(x: Ref, axes: readonly number[], f: (values: number[]) => number): Ref {
  const kept = x.shape.map((n, axis) => (axes.includes(axis) ? 1 : n));
  const buckets = ref(kept, () => 0).data;
  const values: number[][] = Array.from(buckets, () => []);
  x.data.forEach((value, i) => {
    const index = indexOf(i, x.shape);
    const bucket = kept.reduce((offset, size, axis) => offset * size + (size === 1 ? 0 : (index[axis] as number)), 0);
    values[bucket]?.push(value);
  });
  return ref(kept, (i) => f(values[i] as number[]));
}
