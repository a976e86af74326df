import { ShapeError } from "../gpu/errors.ts";
import { type Shape, show, sizeOf } from "../tensor/shape.ts";

/** Axes that the strided kernels walk. */
const MOST_AXES = 4;

/** Row-major strides of `shape` seen as `onto`: axes are aligned at the end, and stretched ones have stride 0. */
export function stridesOnto(shape: Shape, onto: Shape): number[] {
  const strides = new Array<number>(onto.length).fill(0);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] as number;
    if (size !== 1) strides[axis + onto.length - shape.length] = stride;
    stride *= size;
  }
  return strides;
}

/** Sizes of a walk over elements with the step of each operand on each axis, outermost first. */
export interface Walk {
  readonly sizes: readonly number[];
  readonly strides: readonly (readonly number[])[];
}

/** The same walk over as few axes as possible: axes of size 1 go, neighbours that every operand crosses evenly merge. */
export function collapse(sizes: Shape, strides: readonly (readonly number[])[]): Walk {
  const merged: number[] = [];
  const steps: number[][] = strides.map(() => []);
  sizes.forEach((size, axis) => {
    if (size === 1) return;
    const last = merged.length - 1;
    const fits = last >= 0 && strides.every((s, i) => (steps[i] as number[])[last] === (s[axis] as number) * size);
    if (fits) merged[last] = (merged[last] as number) * size;
    else merged.push(size);
    strides.forEach((s, i) => {
      (steps[i] as number[])[merged.length - 1] = s[axis] as number;
    });
  });
  return { sizes: merged, strides: steps };
}

/** A collapsed walk in the form of the strided kernels: four axes, in units of single elements or of four. */
export interface KernelWalk {
  /** Axes in use, 1 to 4. */
  readonly rank: number;
  /** Whether the innermost axis goes four elements at a time. */
  readonly vector: boolean;
  /** Units to walk. */
  readonly words: number;
  /** Padded with ones in front. */
  readonly sizes: readonly number[];
  /** Padded with zeros in front; those of the innermost axis are 1 or 0 if `vector`. */
  readonly strides: readonly (readonly number[])[];
}

/**
 * Prepares a walk for a kernel. It goes by vectors if the innermost axis divides by four (or is the only one: storages
 * are padded) and every operand either has its elements side by side there or repeats one.
 * @throws ShapeError if more than four axes remain after merging
 */
export function kernelWalk(shape: Shape, strides: readonly (readonly number[])[], op: string): KernelWalk {
  const walk = collapse(shape, strides);
  const rank = Math.max(walk.sizes.length, 1);
  if (rank > MOST_AXES) {
    throw new ShapeError(
      `${op}: ${show(shape)} needs ${rank} axes even after merging neighbours; the kernel has ${MOST_AXES}, so reshape or split the tensors`,
    );
  }
  const sizes = [...new Array<number>(MOST_AXES - walk.sizes.length).fill(1), ...walk.sizes];
  const padded = walk.strides.map((s) => [...new Array<number>(MOST_AXES - s.length).fill(0), ...s]);
  const inner = sizes[MOST_AXES - 1] as number;
  const even = padded.every(
    (s) => (s[MOST_AXES - 1] as number) <= 1 && s.slice(0, -1).every((n) => s[MOST_AXES - 1] === 0 || n % 4 === 0),
  );
  const vector = (rank === 1 || inner % 4 === 0) && even;
  if (!vector) return { rank, vector, words: sizeOf(shape), sizes, strides: padded };
  const inWords = padded.map((s) =>
    s[MOST_AXES - 1] === 0 ? s : s.map((n, axis) => (axis === MOST_AXES - 1 ? n : n / 4)),
  );
  const words = Math.ceil(inner / 4);
  return {
    rank,
    vector,
    words: (sizeOf(shape) / Math.max(inner, 1)) * words,
    sizes: [...sizes.slice(0, -1), words],
    strides: inWords,
  };
}
