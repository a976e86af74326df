import type { Device } from "../gpu/device.ts";
import { FileError, ValueError } from "../gpu/errors.ts";
import { toHalf } from "../ops/half.ts";
import { keep, scope } from "../tensor/scope.ts";
import { type Shape, sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A trainable tensor of a module. */
export type Parameter = Tensor<"f32">;

/** Values of one entry of a state dict on the host. */
export interface HostTensor {
  readonly shape: Shape;
  readonly values: Float32Array<ArrayBuffer>;
  /** The same values as bits of halves (F16), where they come as such. */
  readonly halves?: Uint16Array<ArrayBuffer> | undefined;
}

/** Parameters by name, as PyTorch names them: `rnn.weight_ih_l0`. */
export type StateDict = ReadonlyMap<string, HostTensor>;

/**
 * Base of layers and models: holds parameters and submodules under PyTorch's names. A subclass registers
 * both in its constructor: `readonly weight = this.parameter("weight", ...)`, `this.child("rnn", new LSTM(...))`.
 */
export abstract class Module {
  /** True while training: dropout is active. */
  training = true;
  private readonly ownParameters = new Map<string, Parameter>();
  private readonly ownMatrices = new Set<Parameter>();
  private readonly children = new Map<string, Module>();

  /** Registers a parameter under its state-dict name; it requires a gradient and outlives scopes. */
  protected parameter(name: string, tensor: Parameter): Parameter {
    if (this.ownParameters.has(name))
      throw new ValueError(`${this.constructor.name}: there is already a parameter called ${name}`);
    tensor.requiresGrad = true;
    this.ownParameters.set(name, keep(tensor));
    return tensor;
  }

  /** Registers a parameter that only matrix products and lookups read, so that it may be stored as halves. */
  protected matrix(name: string, tensor: Parameter): Parameter {
    this.ownMatrices.add(tensor);
    return this.parameter(name, tensor);
  }

  /** Registers a submodule; its names get the prefix `name.`. */
  protected child<M extends Module>(name: string, module: M): M {
    if (this.children.has(name))
      throw new ValueError(`${this.constructor.name}: there is already a submodule called ${name}`);
    this.children.set(name, module);
    return module;
  }

  /** Every parameter with its full name; a tied parameter appears under its first name only. */
  *namedParameters(prefix = "", seen = new Set<Parameter>()): Generator<[string, Parameter]> {
    for (const [name, parameter] of this.ownParameters) {
      if (seen.has(parameter)) continue;
      seen.add(parameter);
      yield [prefix + name, parameter];
    }
    for (const [name, child] of this.children) yield* child.namedParameters(`${prefix}${name}.`, seen);
  }

  parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, parameter]) => parameter);
  }

  /** Number of trainable values. */
  get parameterCount(): number {
    return this.parameters().reduce((sum, parameter) => sum + parameter.size, 0);
  }

  /** This module and all below it. */
  *modules(): Generator<Module> {
    yield this;
    for (const child of this.children.values()) yield* child.modules();
  }

  /** Switches dropout on (`true`) or off, here and below. */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  eval(): this {
    return this.train(false);
  }

  /**
   * Stores the weight matrices as halves (f16), in half the memory, here and below: for generation on any device, with f32
   * arithmetic. There is no way back, and its parameters are not trained any more, though gradients still go through them to
   * what comes before. Values may be loaded, and are read as f32. Make decoders and captured plans afterwards.
   */
  half(): this {
    let device: Device | null = null;
    for (const { ownMatrices } of this.modules()) {
      for (const matrix of ownMatrices) {
        // A tied one is there already.
        if (matrix.half) continue;
        const halves = matrix.blank ? null : scope(() => toHalf(matrix));
        matrix.requiresGrad = false;
        matrix.rebase(halves?.storage.retain() ?? null, true);
        halves?.dispose();
        matrix.gradSlot?.dispose();
        matrix.gradSlot = null;
        matrix.gradValid = false;
        if (halves) device = matrix.device;
      }
    }
    for (const parameter of this.parameters()) parameter.requiresGrad = false;
    device?.trim();
    return this.eval();
  }

  /** Reads all parameters back in one transfer. */
  async stateDict(): Promise<Map<string, HostTensor>> {
    const named = [...this.namedParameters()];
    const values = await Promise.all(named.map(([, parameter]) => parameter.data()));
    return new Map(
      named.map(([name, parameter], i) => [
        name,
        { shape: parameter.shape, values: values[i] as Float32Array<ArrayBuffer> },
      ]),
    );
  }

  /**
   * Sets all parameters from a state dict, such as PyTorch's.
   * @throws FileError that lists every missing, unexpected and misshaped name; nothing changes then
   */
  loadStateDict(state: StateDict): void {
    const named = new Map(this.namedParameters());
    const missing = [...named.keys()].filter((name) => !state.has(name));
    const extra = [...state.keys()].filter((name) => !named.has(name));
    const misshaped = [...named].flatMap(([name, parameter]) => {
      const found = state.get(name);
      return found && !sameShape(found.shape, parameter.shape)
        ? [`${name} is ${show(found.shape)} instead of ${show(parameter.shape)}`]
        : [];
    });
    const faults = [
      ...(missing.length > 0 ? [`missing ${missing.join(", ")}`] : []),
      ...(extra.length > 0 ? [`unexpected ${extra.join(", ")}`] : []),
      ...misshaped,
    ];
    if (faults.length > 0) {
      throw new FileError(
        "state-dict",
        `loadStateDict: the state dict does not fit ${this.constructor.name} (${faults.join("; ")}); use a checkpoint of the same configuration`,
      );
    }
    for (const [name, parameter] of named) {
      const value = state.get(name) as HostTensor;
      const halves = parameter.half ? value.halves : undefined;
      if (halves) parameter.writeHalves(halves);
      else parameter.write(value.values);
    }
  }

  /** Gives the memory of all parameters back. */
  dispose(): void {
    for (const parameter of this.parameters()) parameter.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
