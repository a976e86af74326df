import type { Device, HasStorage } from "../gpu/device.ts";
import { DisposedError, ShapeError, ValueError } from "../gpu/errors.ts";
import type { Storage } from "../gpu/storage.ts";
import { type ArrayOf, arrayOf, type DType, ELEMENT_BYTES, type TypedArray } from "./dtype.ts";
import { packHalves, widenHalf } from "./half.ts";
import { reportLeaks } from "./leaks.ts";
import { adopt, forget } from "./scope.ts";
import { type Shape, show, sizeOf } from "./shape.ts";

/** The step of a recorded computation that made a tensor (autograd/graph.ts). */
export interface Origin {
  /** Called when a tensor that the step made, or a step that used it, goes away. */
  release(): void;
}

/** Bytes of so many elements; halves come in pairs. */
export function bytesOf(size: number, half: boolean): number {
  return half ? Math.ceil(size / 2) * ELEMENT_BYTES : size * ELEMENT_BYTES;
}

/**
 * A contiguous, row-major array on a device. Tensors are records; operations on them are functions
 * (`add(a, b)`). Give memory back with `dispose`, `using` or a `scope`.
 */
export class Tensor<D extends DType = DType> implements HasStorage {
  readonly device: Device;
  readonly shape: Shape;
  readonly dtype: D;
  /** Elements. */
  readonly size: number;
  /** Whether backward computes a gradient for it. */
  requiresGrad = false;
  /** Memory for this leaf's gradient, kept from step to step; holds one only while `gradValid`. */
  gradSlot: Tensor<"f32"> | null = null;
  gradValid = false;
  /** What made it; null for a leaf. */
  origin: Origin | null = null;
  private memory: Storage | null = null;
  private packed: boolean;
  private alive = true;

  /**
   * @param storage null: memory comes with the first values, see `blank`
   * @param half the storage holds f16, two to a word
   */
  constructor(device: Device, shape: Shape, dtype: D, storage: Storage | null, half = false) {
    this.device = device;
    this.shape = shape;
    this.dtype = dtype;
    this.size = sizeOf(shape);
    this.packed = half;
    adopt(this);
    if (storage) this.hold(storage);
  }

  get storage(): Storage {
    return this.memory ?? this.hold(this.device.allocate(this.bytes, `tensor ${show(this.shape)}`));
  }

  /** Whether it has no memory yet: see `blank`. */
  get blank(): boolean {
    return this.memory === null;
  }

  /** Gradient that backward left here (leaves only), or null since the last `zeroGrad`. */
  get grad(): Tensor<"f32"> | null {
    return this.gradValid ? this.gradSlot : null;
  }

  /** Whether the numbers lie in memory as halves (f16), two to a word: see `toHalf`. On the host they are f32 as ever. */
  get half(): boolean {
    return this.packed;
  }

  get bytes(): number {
    return bytesOf(this.size, this.packed);
  }

  get disposed(): boolean {
    return !this.alive;
  }

  /** Moves the tensor to other memory: parameters are gathered into one flat buffer, or stored as halves. */
  rebase(storage: Storage | null, half = this.packed): void {
    this.memory?.release();
    reportLeaks.unregister(this);
    this.memory = null;
    this.packed = half;
    if (storage) this.hold(storage);
  }

  /** Values on the host, once everything recorded so far has run. Reads made together share one transfer. */
  async data(): Promise<ArrayOf[D]> {
    this.check("data", true);
    const bytes = await this.device.read(this.storage, this.bytes);
    // Only f32 is ever packed.
    return this.packed ? (widenHalf(new Uint16Array(bytes, 0, this.size)) as ArrayOf[D]) : arrayOf(this.dtype, bytes);
  }

  /** The value of a tensor of one element. */
  async item(): Promise<number> {
    if (this.size !== 1)
      throw new ShapeError(`item: the tensor is ${show(this.shape)}; item() reads one element, use data() for more`);
    return (await this.data())[0] as number;
  }

  /** Overwrites the values in place, in the order of recorded work. */
  write(data: ArrayOf[D] | readonly number[]): this {
    this.check("write", true);
    if (data.length !== this.size) {
      throw new ShapeError(
        `write: ${data.length} values do not fill a tensor ${show(this.shape)} of ${this.size}; give as many as it has`,
      );
    }
    const values = Array.isArray(data) ? arrayOf(this.dtype, data) : (data as TypedArray);
    return this.put(this.packed ? packHalves(values as Float32Array) : values);
  }

  /**
   * Overwrites the values of a tensor that is stored as halves with the bits of as many halves, as they are.
   * @throws ShapeError if there are more or fewer
   */
  writeHalves(bits: Uint16Array<ArrayBuffer>): this {
    this.check("writeHalves", true);
    if (!this.packed || bits.length !== this.size) {
      throw new ShapeError(
        `writeHalves: ${bits.length} halves do not fill a tensor ${show(this.shape)} of ${this.size} stored as ${this.packed ? "f16" : this.dtype}; give as many as it has to one stored as f16`,
      );
    }
    return this.put(bits);
  }

  private put(values: TypedArray | Uint16Array<ArrayBuffer>): this {
    if (!this.memory) this.hold(this.device.upload(values, `tensor ${show(this.shape)}`));
    else if (this.size > 0) this.device.write(this.memory, values);
    return this;
  }

  private hold(storage: Storage): Storage {
    this.memory = storage;
    reportLeaks.register(this, storage);
    return storage;
  }

  /** Gives the memory back; values that backward still needs are kept until it ran. Safe to call twice. */
  dispose(): void {
    if (!this.alive) return;
    this.alive = false;
    forget(this);
    reportLeaks.unregister(this);
    this.memory?.release();
    this.origin?.release();
    this.origin = null;
    this.gradSlot?.dispose();
    this.gradSlot = null;
    this.gradValid = false;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * @param halves the operation reads f16 storage too
   * @throws DisposedError or ValueError naming `op`
   */
  check(op: string, halves = false): void {
    if (!this.alive)
      throw new DisposedError(
        `${op}: the tensor ${show(this.shape)} was disposed; return it from its scope or keep() it`,
      );
    if (this.packed && !halves)
      throw new ValueError(
        `${op}: the tensor ${show(this.shape)} is stored as f16, which only matrix products and lookups read; convert it with toFull(x)`,
      );
  }

  toString(): string {
    return `Tensor(${this.dtype} ${show(this.shape)}${this.alive ? "" : ", disposed"})`;
  }
}
