import type { Device } from "../../gpu/device.ts";
import { Embedding } from "../../nn/embedding.ts";
import { type InitOptions, randomOf } from "../../nn/init.ts";
import { Linear } from "../../nn/linear.ts";
import { Module } from "../../nn/module.ts";
import { RMSNorm } from "../../nn/norm.ts";
import { RetNetBlock } from "../../nn/retnet/block.ts";
import { RetentionTables } from "../../nn/retnet/retention.ts";
import { affine } from "../../ops/unary.ts";
import { full } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Decoder, Forward, ForwardOptions, LanguageModel, ModelConfig } from "../language.ts";
import { ModelState, zeroState } from "../state.ts";
import { checkTokens, stepwiseDecoder } from "../stepwise.ts";
import { completeRetNet, type RetNetConfig } from "./config.ts";

/** Where the state keeps how many tokens went before, as numbers the device counts on. */
const POSITION = "position";
const nameOf = (layer: number): string => `layers.${layer}.retention`;

/**
 * A RetNet language model under its published names (`embed_tokens`, `layers.0.retention.q_proj`, `layer_norm`,
 * `output_projection`): a Transformer without softmax in training, a recurrent network in generation. Sun et al. 2023,
 * https://arxiv.org/abs/2307.08621.
 */
export class RetNetLanguageModel extends Module implements LanguageModel {
  readonly device: Device;
  readonly config: RetNetConfig;
  /** Tokens are counted in f32, exact up to here. */
  readonly contextLength = 2 ** 24;
  private readonly tables: RetentionTables;
  private readonly table: Embedding;
  private readonly blocks: readonly RetNetBlock[];
  private readonly norm: RMSNorm;
  private readonly head: Linear;

  constructor(device: Device, given: ModelConfig, init: InitOptions = {}) {
    super();
    const config = completeRetNet(given);
    const { vocabSize, channels, heads, numLayers, valueChannels, hiddenSize, eps, normaliseScores } = config;
    const random = randomOf(init);
    const std = channels ** -0.5;
    this.device = device;
    this.config = config;
    this.tables = new RetentionTables(device, channels, heads);
    this.table = this.child("embed_tokens", new Embedding(device, vocabSize, channels, { random, std }));
    const options = { channels, heads, valueChannels, hiddenSize, eps, normaliseScores, random };
    this.blocks = Array.from({ length: numLayers }, (_, layer) =>
      this.child(`layers.${layer}`, new RetNetBlock(device, options)),
    );
    this.norm = this.child("layer_norm", new RMSNorm(device, channels, { eps }));
    this.head = this.child("output_projection", new Linear(device, channels, vocabSize, { bias: false, random, std }));
  }

  forward(tokens: Tensor, state?: ModelState, options: ForwardOptions = {}): Forward {
    checkTokens("retnet", tokens, options);
    const [batch = 0, steps = 0] = tokens.shape;
    const before = state?.tensors[POSITION];
    const tensors: Record<string, Tensor<"f32">> = {};
    const last = this.blocks.reduce<Tensor<"f32">>((x, block, layer) => {
      const place = { position: before ?? 0, state: state?.tensors[nameOf(layer)] ?? null };
      const result = block.forward(x, this.tables, place);
      tensors[nameOf(layer)] = result.state;
      return result.x;
    }, this.table.forward(tokens));
    tensors[POSITION] = before ? affine(before, 1, steps) : full(this.device, [batch], steps);
    const logits = this.head.forward(this.norm.forward(last));
    return { logits, state: new ModelState(tensors, (state?.seen ?? 0) + steps) };
  }

  initialState(batch: number): ModelState {
    const { channels, heads, numLayers, valueChannels } = this.config;
    const shape = [batch, heads, channels / heads, valueChannels / heads];
    const entries = Array.from({ length: numLayers }, (_, layer) => [nameOf(layer), shape] as const);
    return zeroState(this.device, { ...Object.fromEntries(entries), [POSITION]: [batch] });
  }

  decoder(): Decoder {
    return stepwiseDecoder(this);
  }

  override dispose(): void {
    super.dispose();
    this.tables.dispose();
  }
}
