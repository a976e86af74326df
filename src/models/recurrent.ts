import { noGrad } from "../autograd/mode.ts";
import type { Device } from "../gpu/device.ts";
import { ShapeError } from "../gpu/errors.ts";
import { Embedding } from "../nn/embedding.ts";
import { type InitOptions, randomOf } from "../nn/init.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { GRU, LSTM, type Recurrent, type RecurrentState, RNN } from "../nn/rnn.ts";
import { fullOf } from "../ops/half.ts";
import { linear } from "../ops/linear.ts";
import { packStep, recurrentStep, type StepState } from "../ops/rnn/step.ts";
import { empty } from "../tensor/create.ts";
import { keep, scope } from "../tensor/scope.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Decoder, Forward, ForwardOptions, LanguageModel, ModelConfig } from "./language.ts";
import { ModelState, zeroState } from "./state.ts";

/** Sizes of a `RecurrentLanguageModel`. */
export interface RecurrentConfig extends ModelConfig {
  readonly kind: "rnn" | "gru" | "lstm";
  readonly embeddingSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  /** Probability of zeroing an output of a layer on its way to the next, while training. */
  readonly dropout: number;
}

const layers = { rnn: RNN, gru: GRU, lstm: LSTM } as const;

/**
 * Embedding, recurrent layers, linear head: the word-level language model of PyTorch's examples, with its names
 * (`encoder`, `rnn`, `decoder`).
 */
export class RecurrentLanguageModel extends Module implements LanguageModel {
  readonly device: Device;
  readonly config: RecurrentConfig;
  readonly contextLength = Number.POSITIVE_INFINITY;
  readonly encoder: Embedding;
  readonly rnn: Recurrent;
  /** The head; PyTorch's example calls it decoder. */
  readonly head: Linear;

  constructor(device: Device, config: RecurrentConfig, init: InitOptions = {}) {
    super();
    const { kind, vocabSize, embeddingSize, hiddenSize, numLayers, dropout } = config;
    const random = randomOf(init);
    this.device = device;
    this.config = config;
    this.encoder = this.child("encoder", new Embedding(device, vocabSize, embeddingSize, { random }));
    const options = { inputSize: embeddingSize, hiddenSize, numLayers, dropout, batchFirst: true, random };
    this.rnn = this.child("rnn", new layers[kind](device, options));
    this.head = this.child("decoder", new Linear(device, hiddenSize, vocabSize, { random }));
  }

  forward(tokens: Tensor, state?: ModelState, { lengths = null }: ForwardOptions = {}): Forward {
    if (tokens.shape.length !== 2) {
      throw new ShapeError(`${this.config.kind}: tokens are ${show(tokens.shape)}; they must be [B, T] token ids`);
    }
    const result = this.rnn.forward(this.encoder.forward(tokens), state && recurrentState(state), { lengths });
    return { logits: this.head.forward(result.output), state: modelState(result.state) };
  }

  initialState(batch: number): ModelState {
    const { kind, numLayers, hiddenSize } = this.config;
    const shape = [numLayers, batch, hiddenSize];
    return zeroState(this.device, kind === "lstm" ? { h: shape, c: shape } : { h: shape });
  }

  decoder(): Decoder {
    return new RecurrentDecoder(this);
  }
}

function recurrentState({ tensors }: ModelState): RecurrentState {
  return { h: tensors.h as Tensor<"f32">, c: tensors.c ?? null };
}

function modelState({ h, c }: RecurrentState): ModelState {
  return new ModelState(c ? { h, c } : { h });
}

/**
 * One launch a layer, one for the head. The embedding goes through the first layer's input weights once, for the
 * whole vocabulary, so that a token costs a row of that table instead of a product.
 */
class RecurrentDecoder implements Decoder {
  private readonly model: RecurrentLanguageModel;
  /** [V, G H]; x W_ih^T + b_ih of the first layer for every token. */
  private readonly table: Tensor<"f32">;
  private readonly weights: readonly Tensor[];

  constructor(model: RecurrentLanguageModel) {
    this.model = model;
    const { encoder, rnn } = model;
    const [first] = rnn.layers[0] ?? [];
    if (!first) throw new ShapeError("decoder: the model has no layer");
    this.table = keep(scope(() => noGrad(() => linear(fullOf(encoder.weight), first.weightIh, first.biasIh))));
    this.weights = rnn.layers.map(([forward]) => keep(packStep(rnn.kind, forward as NonNullable<typeof forward>)));
  }

  step(tokens: Tensor, state: ModelState): Forward {
    return scope(() =>
      noGrad(() => {
        const { rnn, head, device } = this.model;
        const { h, c } = recurrentState(state);
        const now: StepState = { h, c };
        const next = { h: empty(device, h.shape), c: c && empty(device, c.shape) };
        let x: Tensor<"f32"> | null = null;
        rnn.layers.forEach(([forward], layer) => {
          const input = x && forward && linear(x, forward.weightIh, forward.biasIh ?? undefined);
          x = recurrentStep(rnn.kind, {
            sums: input ?? this.table,
            tokens: input ? null : tokens,
            weights: this.weights[layer] as Tensor,
            state: now,
            next,
            layer,
          });
        });
        return { logits: head.forward(x as unknown as Tensor), state: modelState(next) };
      }),
    );
  }

  dispose(): void {
    for (const own of [this.table, ...this.weights]) own.dispose();
  }
}
