import type { Device } from "../gpu/device.ts";
import { blank, tensor } from "../tensor/create.ts";
import { Random } from "../tensor/philox.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import type { Parameter } from "./module.ts";

/** Where first weights come from. */
export interface InitOptions {
  /** Source of the initial values; pass one `Random` to all layers of a model to make it reproducible. */
  readonly random?: Random;
}

/** Numbers that are all alike: it costs nothing to draw them. */
class Undrawn extends Random {
  override uniform(): number {
    return 0.5;
  }

  override normal(): number {
    return 0;
  }
}

/** In place of a source of initial values, for a model that a file fills at once: large tensors take no memory before. */
export const undrawn: Random = new Undrawn(0);

/** The given source, or one with a seed from the system. */
export function randomOf(options: InitOptions): Random {
  return options.random ?? new Random(crypto.getRandomValues(new Uint32Array(1))[0] as number);
}

/** U(-bound, bound), drawn on the host, so that a seed gives the same model on every device. */
export function uniformInit(device: Device, shape: Shape, bound: number, random: Random): Parameter {
  if (random === undrawn) return blank(device, shape);
  const values = new Float32Array(sizeOf(shape));
  for (let i = 0; i < values.length; i++) values[i] = (2 * random.uniform() - 1) * bound;
  return tensor(device, values, shape);
}

/** N(0, std^2), drawn on the host. */
export function normalInit(device: Device, shape: Shape, std: number, random: Random): Parameter {
  if (random === undrawn) return blank(device, shape);
  const values = new Float32Array(sizeOf(shape));
  for (let i = 0; i < values.length; i++) values[i] = random.normal() * std;
  return tensor(device, values, shape);
}

/** Zeros, for a layer that starts silent. */
export function zeroInit(device: Device, shape: Shape, random: Random): Parameter {
  return random === undrawn ? blank(device, shape) : constantInit(device, shape, 0);
}

export function constantInit(device: Device, shape: Shape, value: number): Parameter {
  return tensor(device, new Float32Array(sizeOf(shape)).fill(value), shape);
}
