import type { Device } from "../../gpu/device.ts";
import { blank, tensor } from "../../tensor/create.ts";
import type { Random } from "../../tensor/philox.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { normalInit, undrawn } from "../init.ts";
import type { Parameter } from "../module.ts";

/** Where a layer stands among those of its model: what RWKV's initial values depend on. */
export interface Depth {
  /** From 0. */
  readonly layer: number;
  readonly layers: number;
}

/** From 0 at the first layer to 1 at the last. */
export function rise({ layer, layers }: Depth): number {
  return layers > 1 ? layer / (layers - 1) : 0;
}

/** From 1 at the first layer down to 1 / layers at the last. */
export function fall({ layer, layers }: Depth): number {
  return 1 - layer / layers;
}

/** Values by index, such as a channel. */
export function valuesOf(device: Device, shape: Shape, value: (i: number) => number): Parameter {
  return tensor(
    device,
    Float32Array.from({ length: sizeOf(shape) }, (_, i) => value(i)),
    shape,
  );
}

/** Multiplications that making a matrix orthogonal may take. */
const AFFORDABLE = 1e8;

/**
 * A random matrix with orthogonal rows or columns (whichever are fewer), times `gain`; of a stack of matrices, each.
 * Large ones, which would take seconds, get independent normal entries of the same size: their rows are nearly orthogonal.
 * Source: Saxe et al. 2013, https://arxiv.org/abs/1312.6120; by Gram-Schmidt, twice over for accuracy.
 */
export function orthogonal(device: Device, shape: Shape, gain: number, random: Random): Parameter {
  if (random === undrawn) return blank(device, shape);
  const [rows, columns] = shape.slice(-2) as [number, number];
  const [few, many] = [Math.min(rows, columns), Math.max(rows, columns)];
  if (2 * few * few * many > AFFORDABLE) return normalInit(device, shape, gain / Math.sqrt(many), random);
  const values = new Float32Array(sizeOf(shape));
  for (let matrix = 0; matrix < values.length; matrix += rows * columns) {
    const basis: Float64Array[] = [];
    for (let n = 0; n < few; n++) {
      const vector = Float64Array.from({ length: many }, () => random.normal());
      for (const other of [...basis, ...basis]) {
        const along = other.reduce((sum, value, i) => sum + value * (vector[i] as number), 0);
        other.forEach((value, i) => {
          vector[i] = (vector[i] as number) - along * value;
        });
      }
      const norm = Math.hypot(...vector);
      basis.push(vector.map((value) => value / norm));
    }
    for (let i = 0; i < rows * columns; i++) {
      const [row, column] = [Math.floor(i / columns), i % columns];
      const [n, at] = rows <= columns ? [row, column] : [column, row];
      values[matrix + i] = gain * ((basis[n] as Float64Array)[at] as number);
    }
  }
  return tensor(device, values, shape);
}
