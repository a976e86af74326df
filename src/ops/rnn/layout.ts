import type { Device } from "../../gpu/device.ts";
import { empty } from "../../tensor/create.ts";
import { ELEMENT_BYTES } from "../../tensor/dtype.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { Cell } from "./cell.ts";

/** Sizes of one layer run. */
export interface Sizes {
  /** T */
  readonly steps: number;
  /** B */
  readonly batch: number;
  /** I */
  readonly input: number;
  /** H */
  readonly width: number;
  /** H rounded up, see pack.ts. */
  readonly inner: number;
  /** D */
  readonly directions: number;
  /** T B */
  readonly rows: number;
  /** Bit d is set if direction d runs from the last step to the first. */
  readonly reversed: number;
  /** Rows from a step to the next, and from a batch entry to the next. */
  readonly time: number;
  readonly sample: number;
}

/** Where the parts of a tape (kernels/rnn/lstm.wgsl) lie, in values. */
export interface TapeLayout {
  readonly gates: number;
  readonly stride: number;
  readonly hidden: number;
  readonly memory: number;
  readonly size: number;
}

/** Offsets of windows are multiples of 256 bytes. */
const ALIGN = 64;

const padded = (values: number): number => Math.ceil(values / ALIGN) * ALIGN;

/** What comes after h' is for backward alone. */
export function tapeLayout(cell: Cell, { rows, width, directions }: Sizes, recorded: boolean): TapeLayout {
  const gates = padded(rows * cell.gates * width);
  const stride = padded(rows * width);
  const hidden = directions * gates;
  const memory = hidden + directions * stride;
  return { gates, stride, hidden, memory, size: memory + (recorded && cell.extra ? directions * stride : 0) };
}

/** The part of `whole` that begins at `offset` values (a multiple of 64), as a tensor of its own. */
export function windowOf(whole: Tensor, offset: number, shape: Shape): Tensor<"f32"> {
  const bytes = Math.max(padded(sizeOf(shape)), ALIGN) * ELEMENT_BYTES;
  return new Tensor(whole.device, shape, "f32", whole.storage.window(offset * ELEMENT_BYTES, bytes));
}

/** A tensor of `size` values that gets windows. */
export function region(device: Device, size: number): Tensor<"f32"> {
  return empty(device, [Math.max(padded(size), ALIGN)]);
}
