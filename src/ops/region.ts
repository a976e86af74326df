import type { Device } from "../gpu/device.ts";
import { empty } from "../tensor/create.ts";
import { ELEMENT_BYTES } from "../tensor/dtype.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Values between which windows of a buffer can begin: 256 bytes. */
const ALIGN = 64;

/** Where the parts of a buffer begin, in values, and how many it holds. */
export interface Layout<Part extends string> {
  readonly at: Readonly<Record<Part, number>>;
  readonly size: number;
}

/**
 * Lays parts out one after the other in a single buffer. Kernels that compute many things have room for few bindings;
 * each part can be a tensor of its own.
 * @param sizes values of each part
 */
export function layOut<Part extends string>(sizes: Readonly<Record<Part, number>>): Layout<Part> {
  const at = {} as Record<Part, number>;
  let size = 0;
  for (const [part, values] of Object.entries(sizes) as [Part, number][]) {
    at[part] = size;
    size += padded(values);
  }
  return { at, size };
}

export function makeRegion(device: Device, { size }: Layout<string>): Tensor<"f32"> {
  return empty(device, [Math.max(size, ALIGN)]);
}

/** The part of a region that begins at value `start`, as a tensor on the same memory. */
export function windowOf(region: Tensor, start: number, shape: Shape): Tensor<"f32"> {
  const bytes = Math.max(padded(sizeOf(shape)), ALIGN) * ELEMENT_BYTES;
  return new Tensor(region.device, shape, "f32", region.storage.window(start * ELEMENT_BYTES, bytes));
}

function padded(values: number): number {
  return Math.ceil(values / ALIGN) * ALIGN;
}
