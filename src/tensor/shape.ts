import { ShapeError } from "../gpu/errors.ts";

/** Sizes of the axes, outermost first; tensors are contiguous and row-major. */
export type Shape = readonly number[];

/** Elements of a shape; 1 for a scalar. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** `[2, 3]`, as in messages. */
export function show(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** Index of an axis that may be counted from the end. */
export function axisOf(axis: number, rank: number, op: string): number {
  const at = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || at < 0 || at >= rank) {
    throw new ShapeError(`${op}: axis ${axis} is outside a tensor of ${rank} axes; use ${-rank} to ${rank - 1}`);
  }
  return at;
}

/** NumPy broadcasting: sizes are aligned at the end, and 1 stretches. */
export function broadcastShapes(a: Shape, b: Shape, op: string): number[] {
  const rank = Math.max(a.length, b.length);
  const out: number[] = [];
  for (let i = 0; i < rank; i++) {
    const m = a[a.length - rank + i] ?? 1;
    const n = b[b.length - rank + i] ?? 1;
    if (m !== n && m !== 1 && n !== 1) {
      throw new ShapeError(`${op}: ${show(a)} and ${show(b)} do not broadcast; sizes ${m} and ${n} must be equal or 1`);
    }
    out.push(m === 1 ? n : m);
  }
  return out;
}

/** Fills in one -1 and checks that the element count stays. */
export function resolveShape(shape: Shape, size: number, op: string): number[] {
  const unknown = shape.indexOf(-1);
  const known = shape.reduce((product, n) => (n === -1 ? product : product * n), 1);
  const resolved = [...shape];
  if (unknown >= 0) resolved[unknown] = known === 0 ? 0 : size / known;
  if (shape.indexOf(-1, unknown + 1) > unknown && unknown >= 0)
    throw new ShapeError(`${op}: ${show(shape)} has more than one -1; leave at most one size open`);
  if (resolved.some((n) => !Number.isInteger(n) || n < 0) || sizeOf(resolved) !== size) {
    throw new ShapeError(`${op}: ${size} elements do not fit ${show(shape)}; the sizes must multiply to ${size}`);
  }
  return resolved;
}
