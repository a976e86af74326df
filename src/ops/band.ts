import rowsKernel from "../../kernels/shape/rows.wgsl";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Where a band of columns lies in two matrices; all in elements. */
export interface Band {
  readonly rows: number;
  /** Columns written a row. */
  readonly width: number;
  /** Columns of x and of y. */
  readonly xpitch: number;
  readonly ypitch: number;
  readonly xstart?: number;
  readonly ystart?: number;
  /** Of the columns written, so many at first are 0, and after `count` more again. */
  readonly lead?: number;
  readonly count?: number;
}

/** Copies a band of columns from x to y (any 32-bit type). Not recorded. */
export function copyRows(x: Tensor, y: Tensor, band: Band): void {
  const { rows, width, xpitch, ypitch, xstart = 0, ystart = 0, lead = 0, count = width } = band;
  const sizes = { width, xpitch, xstart, ypitch, ystart, lead, count };
  if (rows * width === 0) return;
  const vector = Object.values(sizes).every((n) => n % 4 === 0);
  const unit = vector ? 4 : 1;
  const params = Object.fromEntries(Object.entries(sizes).map(([name, n]) => [name, n / unit])) as typeof sizes;
  const words = rows * params.width;
  x.device.dispatch(rowsKernel, "forward", { x, y }, { words, ...params }, [Math.ceil(words / 64)], {
    elem: vector ? "vec4u" : "u32",
  });
}

/** Rows above an axis, and elements below each of its entries. */
export function matrixAt(shape: Shape, axis: number): { rows: number; width: number } {
  return { rows: sizeOf(shape.slice(0, axis)), width: sizeOf(shape.slice(axis + 1)) };
}
