import type { Device } from "../gpu/device.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { concat } from "../ops/concat.ts";
import { dropout } from "../ops/dropout.ts";
import { gruLayer } from "../ops/rnn/gru.ts";
import { lstmLayer } from "../ops/rnn/lstm.ts";
import { type Nonlinearity, rnnLayer } from "../ops/rnn/rnn.ts";
import type { CellKind } from "../ops/rnn/step.ts";
import type { LstmState, LstmWeights, RecurrentOptions, RecurrentResult } from "../ops/rnn/types.ts";
import { slice } from "../ops/slice.ts";
import { defaultGenerator, type Generator } from "../tensor/generator.ts";
import { type Shape, sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type InitOptions, randomOf, uniformInit } from "./init.ts";
import { Module, type Parameter } from "./module.ts";

/** Sizes and variants of a recurrent layer, as in PyTorch. */
export interface RecurrentModuleOptions extends InitOptions {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers?: number;
  readonly bias?: boolean;
  /** Inputs and outputs are [B, T, ..] instead of [T, B, ..]. */
  readonly batchFirst?: boolean;
  /** Probability of zeroing an output of a layer on its way to the next, while training. */
  readonly dropout?: number;
  readonly bidirectional?: boolean;
  /** Source of dropout's random numbers; default: the device's. */
  readonly generator?: Generator;
}

/** States of all layers and directions, layer by layer, forward before reverse. Never batch-first. */
export interface RecurrentState {
  /** [L D, B, H]; H is projSize where that is set. */
  readonly h: Tensor<"f32">;
  /** [L D, B, H]; null but for an LSTM. */
  readonly c: Tensor<"f32"> | null;
}

/** What a recurrent layer gives. */
export interface RecurrentOutput {
  /** Hidden states of the last layer at all steps: [T, B, D H] or [B, T, D H]. */
  readonly output: Tensor<"f32">;
  /** After the last step. */
  readonly state: RecurrentState;
}

/** Options of a recurrent layer's forward pass. */
export type RecurrentForwardOptions = Pick<RecurrentOptions, "lengths" | "form">;

/** Weights of one layer in one direction. */
export interface DirectionParameters extends LstmWeights {
  readonly weightIh: Parameter;
  readonly weightHh: Parameter;
  readonly biasIh: Parameter | null;
  readonly biasHh: Parameter | null;
  readonly weightHr: Parameter | null;
}

/**
 * Stacked recurrent layers with PyTorch's parameter names (`weight_ih_l0`, `weight_hh_l0_reverse`, ..); all
 * initialised U(-1/sqrt(H), 1/sqrt(H)).
 */
export abstract class Recurrent extends Module {
  abstract readonly kind: CellKind;
  readonly device: Device;
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly projSize: number;
  readonly batchFirst: boolean;
  readonly dropout: number;
  readonly bidirectional: boolean;
  /** By layer, then direction. */
  readonly layers: readonly (readonly DirectionParameters[])[];
  private readonly generator: Generator | undefined;

  constructor(device: Device, gates: number, options: RecurrentModuleOptions & { readonly projSize?: number }) {
    super();
    const { inputSize, hiddenSize, numLayers = 1, projSize = 0, bias = true } = options;
    this.device = device;
    this.inputSize = inputSize;
    this.hiddenSize = hiddenSize;
    this.numLayers = numLayers;
    this.projSize = projSize;
    this.batchFirst = options.batchFirst ?? false;
    this.dropout = options.dropout ?? 0;
    this.bidirectional = options.bidirectional ?? false;
    this.generator = options.generator;
    this.checkOptions();
    const random = randomOf(options);
    const bound = 1 / Math.sqrt(hiddenSize);
    const directions = this.bidirectional ? ["", "_reverse"] : [""];
    const outputSize = projSize || hiddenSize;
    this.layers = Array.from({ length: numLayers }, (_, layer) =>
      directions.map((direction) => {
        const make = (name: string, shape: Shape) =>
          this.parameter(`${name}_l${layer}${direction}`, uniformInit(device, shape, bound, random));
        const makeMatrix = (name: string, shape: Shape) =>
          this.matrix(`${name}_l${layer}${direction}`, uniformInit(device, shape, bound, random));
        const rows = gates * hiddenSize;
        return {
          weightIh: makeMatrix("weight_ih", [rows, layer === 0 ? inputSize : outputSize * directions.length]),
          weightHh: makeMatrix("weight_hh", [rows, outputSize]),
          biasIh: bias ? make("bias_ih", [rows]) : null,
          biasHh: bias ? make("bias_hh", [rows]) : null,
          weightHr: projSize ? makeMatrix("weight_hr", [projSize, hiddenSize]) : null,
        };
      }),
    );
  }

  /** One layer in all its directions. */
  protected abstract runLayer(
    x: Tensor,
    weights: readonly DirectionParameters[],
    state: RecurrentState | null,
    options: RecurrentOptions,
  ): RecurrentResult;

  /** Width of the hidden state. */
  get outputSize(): number {
    return this.projSize || this.hiddenSize;
  }

  /**
   * @param x [T, B, inputSize], or [B, T, inputSize] with batchFirst
   * @param state before the first step; zeros if left out
   * @throws ShapeError or ValueError naming the tensor that does not fit
   */
  forward(x: Tensor, state?: RecurrentState | null, { lengths, form }: RecurrentForwardOptions = {}): RecurrentOutput {
    const directions = this.bidirectional ? 2 : 1;
    if (state) this.checkState(x, state);
    let output = x as Tensor<"f32">;
    const results = this.layers.map((weights, layer) => {
      if (layer > 0 && this.training && this.dropout > 0) {
        output = dropout(output, this.dropout, this.generator ?? defaultGenerator(this.device));
      }
      const part = <T extends Tensor | null>(whole: T): T =>
        (whole && this.numLayers > 1 ? slice(whole, 0, layer * directions, (layer + 1) * directions) : whole) as T;
      const before = state ? { h: part(state.h), c: part(state.c) } : null;
      const result = this.runLayer(output, weights, before, { batchFirst: this.batchFirst, lengths, form });
      output = result.y;
      return result;
    });
    const whole = (parts: readonly (Tensor<"f32"> | null)[]): Tensor<"f32"> | null => {
      const [first = null] = parts;
      return parts.length > 1 && first ? concat(parts as Tensor<"f32">[]) : first;
    };
    return {
      output,
      state: { h: whole(results.map(({ h }) => h)) as Tensor<"f32">, c: whole(results.map(({ c }) => c)) },
    };
  }

  private checkOptions(): void {
    const { name } = this.constructor;
    for (const size of ["inputSize", "hiddenSize", "numLayers"] as const) {
      if (!(Number.isInteger(this[size]) && this[size] > 0))
        throw new ValueError(`${name}: ${size} is ${this[size]}; use a whole number of 1 or more`);
    }
    if (!(Number.isInteger(this.projSize) && this.projSize >= 0 && this.projSize < this.hiddenSize)) {
      throw new ValueError(
        `${name}: projSize is ${this.projSize}; use a whole number from 0 (none) to below hiddenSize, ${this.hiddenSize}`,
      );
    }
    if (!(this.dropout >= 0 && this.dropout <= 1))
      throw new ValueError(`${name}: dropout is ${this.dropout}; use a probability from 0 to 1`);
  }

  private checkState(x: Tensor, { h, c }: RecurrentState): void {
    const batch = x.shape[this.batchFirst ? 0 : 1] ?? 0;
    const count = this.numLayers * (this.bidirectional ? 2 : 1);
    for (const [name, tensor, width] of [
      ["h", h, this.outputSize],
      ["c", c, this.hiddenSize],
    ] as const) {
      if (tensor && !sameShape(tensor.shape, [count, batch, width])) {
        throw new ShapeError(
          `${this.constructor.name}: the state's ${name} is ${show(tensor.shape)}; it must be ${show([count, batch, width])}, [layers * directions, B, H], also with batchFirst`,
        );
      }
    }
  }
}

/** Elman layers, as torch.nn.RNN: h = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu by `nonlinearity`. */
export class RNN extends Recurrent {
  readonly kind: CellKind;
  private readonly nonlinearity: Nonlinearity;

  constructor(device: Device, options: RecurrentModuleOptions & { readonly nonlinearity?: Nonlinearity }) {
    super(device, 1, options);
    this.nonlinearity = options.nonlinearity ?? "tanh";
    this.kind = `rnn_${this.nonlinearity}`;
  }

  protected runLayer(
    x: Tensor,
    weights: readonly DirectionParameters[],
    state: RecurrentState | null,
    options: RecurrentOptions,
  ): RecurrentResult {
    return rnnLayer(x, weights, state?.h, { ...options, nonlinearity: this.nonlinearity });
  }
}

/**
 * GRU layers, as torch.nn.GRU: gates in the order reset, update, new; the reset gate acts after the hidden product.
 * Source: Cho et al. 2014, https://arxiv.org/abs/1406.1078.
 */
export class GRU extends Recurrent {
  readonly kind = "gru";

  constructor(device: Device, options: RecurrentModuleOptions) {
    super(device, 3, options);
  }

  protected runLayer(
    x: Tensor,
    weights: readonly DirectionParameters[],
    state: RecurrentState | null,
    options: RecurrentOptions,
  ): RecurrentResult {
    return gruLayer(x, weights, state?.h, options);
  }
}

/**
 * LSTM layers, as torch.nn.LSTM: gates in the order input, forget, cell, output; with `projSize`, hidden states are projected
 * to that width. Source: Hochreiter and Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735.
 */
export class LSTM extends Recurrent {
  readonly kind = "lstm";

  constructor(device: Device, options: RecurrentModuleOptions & { readonly projSize?: number }) {
    super(device, 4, options);
  }

  protected runLayer(
    x: Tensor,
    weights: readonly DirectionParameters[],
    state: RecurrentState | null,
    options: RecurrentOptions,
  ): RecurrentResult {
    return lstmLayer(x, weights, state as LstmState | null, options);
  }
}
