import { noGrad } from "../../autograd/mode.ts";
import type { Device } from "../../gpu/device.ts";
import { constantInit } from "../../nn/init.ts";
import { Module, type Parameter } from "../../nn/module.ts";
import { mul } from "../../ops/binary.ts";
import { concat } from "../../ops/concat.ts";
import { expand } from "../../ops/expand.ts";
import { reshape } from "../../ops/reshape.ts";
import { chunk } from "../../ops/slice.ts";
import { transpose } from "../../ops/transpose.ts";
import { exp } from "../../ops/unary.ts";
import { tensor, zeros } from "../../tensor/create.ts";
import { scope } from "../../tensor/scope.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Decoder, Forward, ForwardOptions, LanguageModel } from "../language.ts";
import { ModelState } from "../state.ts";
import { stepwiseDecoder } from "../stepwise.ts";
import type { RwkvConfig } from "./config.ts";
import { type RwkvLanguageModel, stateName } from "./model.ts";

/** Logarithm of the weight that the state of version 4 starts with: small, but large enough to learn. */
const FAINT = -4;

/**
 * State tuning: an RWKV model whose only parameters are the states that a text begins with; its weights stay as they are.
 * A few thousand values a layer then hold a style or a task. It is a language model like any other: train it, generate
 * from it (a session begins with the tuned state), read `stateDict()` to save the states. Their names and shapes are those
 * of published state files: `blocks.0.att.time_state` [H, N, N], value by key, zero at first. Version 4 has [2, C]: the
 * mean that the average starts from, and the logarithm of its weight.
 *
 * @example
 * const tuned = new StateTunedRwkv(rwkvFromCheckpoint(device, file));
 * const optimizer = new AdamW(tuned.parameters(), { lr: 0.05, weightDecay: 0 });
 * const trainer = new Trainer({ model: tuned, optimizer, batches, schedule: constantLr(0.05) });
 * await trainer.run(200);
 * const session = new Session(tuned);
 */
export class StateTunedRwkv extends Module implements LanguageModel {
  readonly device: Device;
  readonly config: RwkvConfig;
  readonly contextLength = Number.POSITIVE_INFINITY;
  private readonly model: RwkvLanguageModel;
  private readonly states: readonly Parameter[];
  private readonly frozen: readonly Parameter[];

  /** The model's weights get no gradients until this is disposed. */
  constructor(model: RwkvLanguageModel) {
    super();
    const { device, config } = model;
    const { kind, channels, heads, numLayers } = config;
    this.device = device;
    this.config = config;
    this.model = model;
    const size = channels / heads;
    const faint = Float32Array.from({ length: 2 * channels }, (_, n) => (n < channels ? 0 : FAINT));
    const start = () =>
      kind === "rwkv4" ? tensor(device, faint, [2, channels]) : constantInit(device, [heads, size, size], 0);
    this.states = Array.from({ length: numLayers }, (_, layer) =>
      this.parameter(`blocks.${layer}.att.time_state`, start()),
    );
    this.frozen = model.parameters().filter(({ requiresGrad }) => requiresGrad);
    for (const weight of this.frozen) weight.requiresGrad = false;
  }

  forward(tokens: Tensor, state?: ModelState, options?: ForwardOptions): Forward {
    return this.model.forward(tokens, state ?? this.start(tokens.shape[0] ?? 0), options);
  }

  initialState(batch: number): ModelState {
    return scope(() => noGrad(() => this.start(batch).copy()));
  }

  decoder(): Decoder {
    return stepwiseDecoder(this);
  }

  /** Gives the states back, and the model its gradients. */
  override dispose(): void {
    for (const weight of this.frozen) weight.requiresGrad = true;
    super.dispose();
  }

  private start(batch: number): ModelState {
    const { device, config } = this;
    const empty = zeros(device, [batch, config.channels]);
    const entries = this.states.flatMap((state, layer): [string, Tensor<"f32">][] => [
      [stateName(layer, "att.shift"), empty],
      [stateName(layer, "att.wkv"), this.recurrence(state, batch)],
      [stateName(layer, "ffn.shift"), empty],
    ]);
    return new ModelState(Object.fromEntries(entries));
  }

  /** A state as the version's kernel takes it, for every text of a batch. */
  private recurrence(state: Parameter, batch: number): Tensor<"f32"> {
    const { kind, channels, heads } = this.config;
    if (kind === "rwkv4") {
      const [mean, logWeight] = chunk(state, 2, 0) as [Tensor<"f32">, Tensor<"f32">];
      const weight = exp(logWeight);
      const whole = concat([mul(mean, weight), weight, zeros(this.device, [1, channels])], 0);
      return expand(reshape(whole, [3, 1, channels]), [3, batch, channels]);
    }
    const size = channels / heads;
    const own = kind === "rwkv7" ? state : transpose(state, 1, 2);
    return expand(reshape(own, [1, heads, size, size]), [batch, heads, size, size]);
  }
}
