import type { Device } from "../gpu/device.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { type DType, ELEMENT_BYTES } from "./dtype.ts";
import { type Shape, show, sizeOf } from "./shape.ts";
import { Tensor } from "./tensor.ts";

/** Kernels read and write whole vectors of four. */
const VECTOR_BYTES = 16;

/** Options of `fromBuffer`. */
export interface ExternalOptions<D extends DType> {
  /** Default f32. */
  readonly dtype?: D;
  /** Bytes from the start of the buffer, a multiple of the device's minStorageBufferOffsetAlignment (at most 256). */
  readonly offset?: number;
}

/**
 * A tensor of any shape on a buffer of your own, for instance one that a renderer draws from. Operations read and write it in
 * place, nothing is copied, and `dispose` leaves the buffer alone; destroy it only after the tensor.
 *
 * Commands of yours that use the buffer run before or after the engine's in the order in which both are submitted:
 * `device.flush()` submits what was recorded.
 * @param buffer of the same GPUDevice, with usage STORAGE, and also COPY_SRC to be read or copied from and COPY_DST
 *   to be written to. The bytes up to the next multiple of 16 belong to the tensor: a kernel may write them.
 * @throws ShapeError if the buffer is too small
 * @throws ValueError if its usage or the offset does not allow binding it
 */
export function fromBuffer<D extends DType = "f32">(
  device: Device,
  buffer: GPUBuffer,
  shape: Shape,
  { dtype = "f32" as D, offset = 0 }: ExternalOptions<D> = {},
): Tensor<D> {
  const alignment = device.limits.minStorageBufferOffsetAlignment;
  if (!(buffer.usage & GPUBufferUsage.STORAGE))
    throw new ValueError("fromBuffer: the buffer cannot be bound; create it with GPUBufferUsage.STORAGE");
  if (!(Number.isInteger(offset) && offset >= 0 && offset % alignment === 0))
    throw new ValueError(`fromBuffer: offset is ${offset}; use a multiple of ${alignment} on this device`);
  const bytes = Math.max(1, Math.ceil((sizeOf(shape) * ELEMENT_BYTES) / VECTOR_BYTES)) * VECTOR_BYTES;
  if (offset + bytes > buffer.size) {
    throw new ShapeError(
      `fromBuffer: a tensor ${show(shape)} takes ${bytes} bytes, and the buffer has ${buffer.size - offset} after offset ${offset}; make it larger`,
    );
  }
  return new Tensor(device, [...shape], dtype, device.pool.borrow(buffer, offset, bytes));
}
