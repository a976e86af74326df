import type { Device } from "../gpu/device.ts";
import { ValueError } from "../gpu/errors.ts";
import { empty, zeros } from "../tensor/create.ts";
import { ELEMENT_BYTES } from "../tensor/dtype.ts";
import { keep } from "../tensor/scope.ts";
import { show } from "../tensor/shape.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Elements of a block: windows of a buffer start at multiples of 256 bytes. */
export const BLOCK = 64;

/** A parameter's place in a flat buffer. */
export interface Place {
  readonly parameter: Tensor<"f32">;
  /** Elements from the start; a multiple of BLOCK. */
  readonly offset: number;
  readonly group: number;
}

/**
 * Parameters gathered into one buffer, with one buffer for their gradients, so that an optimizer step is one
 * dispatch whatever the number of parameters. Each parameter becomes a window of the buffer.
 */
export interface FlatBuffer {
  readonly places: readonly Place[];
  /** Elements, a multiple of BLOCK. */
  readonly size: number;
  readonly values: Tensor<"f32">;
  readonly grads: Tensor<"f32">;
}

/** Gathers parameters, in as few buffers as the device can bind. Their values and identity stay. */
export function flatten(device: Device, groups: readonly (readonly Tensor<"f32">[])[]): FlatBuffer[] {
  const limit = Math.min(device.limits.maxStorageBufferBindingSize, device.limits.maxBufferSize);
  const capacity = Math.floor(limit / (BLOCK * ELEMENT_BYTES)) * BLOCK;
  const buffers: FlatBuffer[] = [];
  let places: Place[] = [];
  let size = 0;
  const close = () => {
    if (places.length > 0) buffers.push(gather(device, places, size));
    places = [];
    size = 0;
  };
  const seen = new Map<Tensor, number>();
  groups.forEach((parameters, group) => {
    for (const parameter of parameters) {
      const other = seen.get(parameter);
      if (other !== undefined)
        throw new ValueError(
          `optimizer: a parameter ${show(parameter.shape)} appears twice, in group ${other} and in group ${group}; give each parameter to one group, once`,
        );
      seen.set(parameter, group);
      parameter.check("optimizer", true);
      if (parameter.half)
        throw new ValueError(
          `optimizer: the tensor ${show(parameter.shape)} is stored as f16, which gets no gradient; train a model that was opened or made with f32 weights`,
        );
      const room = Math.ceil(parameter.size / BLOCK) * BLOCK;
      if (size + room > capacity) close();
      places.push({ parameter, offset: size, group });
      size += room;
    }
  });
  close();
  return buffers;
}

function gather(device: Device, places: readonly Place[], size: number): FlatBuffer {
  const values = keep(zeros(device, [size]));
  const grads = keep(empty(device, [size]));
  for (const { parameter, offset } of places) {
    const at = offset * ELEMENT_BYTES;
    const room = Math.max(Math.ceil(parameter.size / BLOCK), 1) * BLOCK * ELEMENT_BYTES;
    const home = values.storage.window(at, room);
    device.copy(parameter.storage, home, parameter.bytes);
    parameter.rebase(home);
    parameter.gradSlot?.dispose();
    parameter.gradValid = false;
    parameter.gradSlot = keep(new Tensor(device, parameter.shape, "f32", grads.storage.window(at, room)));
  }
  return { places, size, values, grads };
}
