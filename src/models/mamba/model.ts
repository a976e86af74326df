import type { Device } from "../../gpu/device.ts";
import { Embedding } from "../../nn/embedding.ts";
import { type InitOptions, randomOf } from "../../nn/init.ts";
import { MambaMixer, type MambaState } from "../../nn/mamba/mixer.ts";
import { Module, type StateDict } from "../../nn/module.ts";
import { RMSNorm } from "../../nn/norm.ts";
import { add } from "../../ops/binary.ts";
import { linear } from "../../ops/linear.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { filled, type WeightOptions } from "../filled.ts";
import type { Decoder, Forward, ForwardOptions, LanguageModel, ModelConfig } from "../language.ts";
import { ModelState, zeroState } from "../state.ts";
import { checkTokens, stepwiseDecoder } from "../stepwise.ts";
import { completeMamba, type MambaConfig, mambaConfigOf } from "./config.ts";

const convName = (layer: number): string => `layers.${layer}.conv`;
const scanName = (layer: number): string => `layers.${layer}.scan`;

/** x + mixer(RMS(x)): `norm`, `mixer`. */
class Layer extends Module {
  private readonly norm: RMSNorm;
  private readonly mixer: MambaMixer;

  constructor(device: Device, config: MambaConfig, init: InitOptions) {
    super();
    this.norm = this.child("norm", new RMSNorm(device, config.channels));
    this.mixer = this.child("mixer", new MambaMixer(device, { ...config, layers: config.numLayers, ...init }));
  }

  forward(x: Tensor, state?: MambaState) {
    const { y, state: next } = this.mixer.forward(this.norm.forward(x), state);
    return { x: add(x, y), state: next };
  }
}

/** Everything under `backbone`. */
class Backbone extends Module {
  readonly table: Embedding;
  readonly layers: readonly Layer[];
  readonly norm: RMSNorm;

  constructor(device: Device, config: MambaConfig, init: InitOptions) {
    super();
    const { vocabSize, channels, numLayers } = config;
    this.table = this.child("embedding", new Embedding(device, vocabSize, channels, { ...init, std: 0.02 }));
    this.layers = Array.from({ length: numLayers }, (_, layer) =>
      this.child(`layers.${layer}`, new Layer(device, config, init)),
    );
    this.norm = this.child("norm_f", new RMSNorm(device, channels));
  }
}

/**
 * A Mamba language model under its published names (`backbone.layers.0.mixer.in_proj`, ...), its head tied to the
 * embedding: linear time in training, a state of constant size in generation. Gu and Dao 2023,
 * https://arxiv.org/abs/2312.00752.
 */
export class MambaLanguageModel extends Module implements LanguageModel {
  readonly device: Device;
  readonly config: MambaConfig;
  readonly contextLength = Number.POSITIVE_INFINITY;
  private readonly backbone: Backbone;

  constructor(device: Device, given: ModelConfig, init: InitOptions = {}) {
    super();
    this.device = device;
    this.config = completeMamba(given);
    this.backbone = this.child("backbone", new Backbone(device, this.config, { random: randomOf(init) }));
  }

  forward(tokens: Tensor, state?: ModelState, options: ForwardOptions = {}): Forward {
    checkTokens("mamba", tokens, options);
    const [, steps = 0] = tokens.shape;
    const { table, layers, norm } = this.backbone;
    const tensors: Record<string, Tensor<"f32">> = {};
    const last = layers.reduce<Tensor<"f32">>((x, layer, i) => {
      const before = state && {
        conv: state.tensors[convName(i)] as Tensor<"f32">,
        scan: state.tensors[scanName(i)] as Tensor<"f32">,
      };
      const result = layer.forward(x, before);
      tensors[convName(i)] = result.state.conv;
      tensors[scanName(i)] = result.state.scan;
      return result.x;
    }, table.forward(tokens));
    const logits = linear(norm.forward(last), table.weight);
    return { logits, state: new ModelState(tensors, (state?.seen ?? 0) + steps) };
  }

  initialState(batch: number): ModelState {
    const { numLayers, innerSize, stateSize, convWidth } = this.config;
    const entries = Array.from({ length: numLayers }, (_, i) => [
      [convName(i), [batch, convWidth - 1, innerSize]] as const,
      [scanName(i), [batch, innerSize, stateSize]] as const,
    ]);
    return zeroState(this.device, Object.fromEntries(entries.flat()));
  }

  decoder(): Decoder {
    return stepwiseDecoder(this);
  }
}

/**
 * A Mamba model with the values of a checkpoint under its published names; those of Transformers (`backbone.embeddings`)
 * and a copy of the table as `lm_head.weight` are understood.
 * @throws FileError if it is no Mamba checkpoint, or lists what is missing, unexpected or misshaped
 */
export function mambaFromCheckpoint(device: Device, state: StateDict, options: WeightOptions = {}): MambaLanguageModel {
  const config = mambaConfigOf(state);
  const named = [...state]
    .filter(([name]) => name !== "lm_head.weight")
    .map(([name, value]) => [name.replace("backbone.embeddings.", "backbone.embedding."), value] as const);
  return filled(
    (init) => new MambaLanguageModel(device, config, init),
    () => new Map(named),
    options,
  );
}
