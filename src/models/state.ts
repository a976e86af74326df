import { noGrad } from "../autograd/mode.ts";
import type { Device } from "../gpu/device.ts";
import { FileError, ShapeError } from "../gpu/errors.ts";
import type { HostTensor } from "../nn/module.ts";
import { empty, tensor } from "../tensor/create.ts";
import { keep } from "../tensor/scope.ts";
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * What a sequence model remembers of the tokens so far. Constant in size for recurrent models. Copy it to
 * branch a text, read it with `data` to save it.
 */
export class ModelState {
  readonly tensors: Readonly<Record<string, Tensor<"f32">>>;
  /** Tokens that went before, as far as the host knows (NaN: not the same in all texts); models with a cache need it to take a prompt. */
  readonly seen: number;

  constructor(tensors: Readonly<Record<string, Tensor<"f32">>>, seen = 0) {
    this.tensors = tensors;
    this.seen = seen;
  }

  /** Bytes of GPU memory. */
  get byteLength(): number {
    return Object.values(this.tensors).reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** An independent copy that outlives scopes. */
  copy(): ModelState {
    const copies = Object.entries(this.tensors).map(([name, source]) => {
      const target = keep(empty(source.device, source.shape));
      source.device.copy(source.storage, target.storage, source.bytes);
      return [name, target] as const;
    });
    return new ModelState(Object.fromEntries(copies), this.seen);
  }

  /** Overwrites this state with another of the same shapes. */
  assign(other: ModelState): void {
    for (const [name, target] of Object.entries(this.tensors)) {
      const source = other.tensors[name];
      if (!source || !sameShape(source.shape, target.shape)) {
        throw new ShapeError(
          `assign: ${name} is ${source ? show(source.shape) : "missing"} instead of ${show(target.shape)}; use a state of the same model and batch`,
        );
      }
      // A model may have written its cache in place.
      if (source.storage !== target.storage) target.device.copy(source.storage, target.storage, source.bytes);
    }
  }

  /** Sets every value to zero, as at the start of a text. */
  reset(): void {
    for (const target of Object.values(this.tensors)) target.write(new Float32Array(target.size));
  }

  /** The state on the host. */
  async data(): Promise<Map<string, HostTensor>> {
    const entries = Object.entries(this.tensors);
    const values = await Promise.all(entries.map(([, source]) => source.data()));
    return new Map(
      entries.map(([name, source], i) => [
        name,
        { shape: source.shape, values: values[i] as Float32Array<ArrayBuffer> },
      ]),
    );
  }

  /** Overwrites the state with host values, as `data` gave them. @throws FileError if one does not fit; nothing changes then */
  restore(values: ReadonlyMap<string, HostTensor>): void {
    for (const [name, target] of Object.entries(this.tensors)) {
      const found = values.get(name);
      if (!found || !sameShape(found.shape, target.shape)) {
        throw new FileError(
          "model-state",
          `restore: the state's ${name} is ${found ? show(found.shape) : "missing"} instead of ${show(target.shape)}; use a state saved from the same model`,
        );
      }
    }
    for (const [name, target] of Object.entries(this.tensors)) target.write((values.get(name) as HostTensor).values);
  }

  dispose(): void {
    for (const target of Object.values(this.tensors)) target.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A state of zeros that outlives scopes. */
export function zeroState(device: Device, shapes: Readonly<Record<string, readonly number[]>>): ModelState {
  return noGrad(() => {
    const entries = Object.entries(shapes).map(([name, shape]) => {
      const values = new Float32Array(shape.reduce((product, n) => product * n, 1));
      return [name, keep(tensor(device, values, shape))] as const;
    });
    return new ModelState(Object.fromEntries(entries));
  });
}
