import { noGrad } from "../autograd/mode.ts";
import type { Device } from "../gpu/device.ts";
import { ShapeError, ValueError } from "../gpu/errors.ts";
import { Embedding } from "../nn/embedding.ts";
import { type InitOptions, randomOf } from "../nn/init.ts";
import { Module } from "../nn/module.ts";
import { LayerNorm } from "../nn/norm.ts";
import { type Attend, attendOneToCache, attendToCache, TransformerBlock } from "../nn/transformer.ts";
import { cacheOf, cacheShape } from "../ops/attention/cache.ts";
import { add } from "../ops/binary.ts";
import { cast } from "../ops/cast.ts";
import { linear } from "../ops/linear.ts";
import { reshape } from "../ops/reshape.ts";
import { affine } from "../ops/unary.ts";
import { tensor } from "../tensor/create.ts";
import { scope } from "../tensor/scope.ts";
import { show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { share } from "../tensor/view.ts";
import type { Decoder, Forward, LanguageModel, ModelConfig } from "./language.ts";
import { ModelState, zeroState } from "./state.ts";

export interface TransformerConfig extends ModelConfig {
  readonly kind: "transformer";
  readonly channels: number;
  readonly heads: number;
  readonly numLayers: number;
  /** Positions that the model has, and tokens that its cache holds. */
  readonly contextLength: number;
  readonly dropout: number;
}

/** Where the state keeps how many tokens went before, as a number the device counts on. */
const POSITION = "position";
const cacheName = (layer: number) => `cache${layer}`;

/** The blocks between embedding and head, under GPT-2's names. */
class Trunk extends Module {
  readonly tokens: Embedding;
  readonly positions: Embedding;
  readonly blocks: readonly TransformerBlock[];
  readonly norm: LayerNorm;

  constructor(
    device: Device,
    { vocabSize, channels, heads, numLayers, contextLength, dropout }: TransformerConfig,
    init: InitOptions,
  ) {
    super();
    const random = randomOf(init);
    this.tokens = this.child("wte", new Embedding(device, vocabSize, channels, { random, std: 0.02 }));
    this.positions = this.child("wpe", new Embedding(device, contextLength, channels, { random, std: 0.02 }));
    const options = { channels, heads, layers: numLayers, dropout, random };
    this.blocks = Array.from({ length: numLayers }, (_, layer) =>
      this.child(`h.${layer}`, new TransformerBlock(device, options)),
    );
    this.norm = this.child("ln_f", new LayerNorm(device, channels));
  }
}

/**
 * A GPT-2-shaped language model: learned positions, pre-norm blocks, a head tied to the embedding. In training,
 * attention never stores its scores; in generation, keys and values of the tokens so far lie in a cache.
 * Radford et al. 2019; names as in nanoGPT (`transformer.wte`, `transformer.h.0.attn.c_attn`, ...).
 */
export class TransformerLanguageModel extends Module implements LanguageModel {
  readonly device: Device;
  readonly config: TransformerConfig;
  private readonly trunk: Trunk;

  constructor(device: Device, config: TransformerConfig, init: InitOptions = {}) {
    super();
    if (config.channels % config.heads !== 0) {
      throw new ValueError(
        `transformer: ${config.channels} channels do not divide into ${config.heads} heads; make them a multiple of the heads`,
      );
    }
    this.device = device;
    this.config = config;
    this.trunk = this.child("transformer", new Trunk(device, config, init));
  }

  get contextLength(): number {
    return this.config.contextLength;
  }

  forward(tokens: Tensor, state?: ModelState): Forward {
    const [batch = 0, length = 0] = tokens.shape;
    if (tokens.shape.length !== 2)
      throw new ShapeError(`transformer: tokens are ${show(tokens.shape)}; they must be [B, T] token ids`);
    const seen = state?.seen ?? 0;
    if (seen + length > this.contextLength) {
      throw new ValueError(
        `transformer: ${seen} + ${length} tokens are more than its ${this.contextLength} positions; use a shorter sequence or a model of a longer context`,
      );
    }
    const places = tensor(
      this.device,
      Uint32Array.from({ length }, (_, t) => seen + t),
    );
    const x = add(this.trunk.tokens.forward(tokens), this.trunk.positions.forward(places));
    const caches = state && this.cachesOf(state, batch);
    const logits = this.blocks(x, (layer) => (caches?.[layer] ? attendToCache(caches[layer], seen) : undefined));
    return { logits, state: state ? this.after(state, length) : new ModelState({}, length) };
  }

  initialState(batch: number): ModelState {
    const { numLayers } = this.config;
    const caches = Array.from({ length: numLayers }, (_, layer) => [
      cacheName(layer),
      cacheShape(this.cacheSizes(batch)),
    ]);
    return zeroState(this.device, { ...Object.fromEntries(caches), [POSITION]: [1] });
  }

  decoder(): Decoder {
    return {
      step: (tokens, state) => scope(() => noGrad(() => this.step(tokens, state))),
      dispose: () => {},
    };
  }

  private step(tokens: Tensor, state: ModelState): Forward {
    const position = state.tensors[POSITION] as Tensor<"f32">;
    const [batch = 0] = tokens.shape;
    const x = add(this.trunk.tokens.forward(tokens), this.trunk.positions.forward(cast(position, "u32")));
    const caches = this.cachesOf(state, batch);
    const logits = this.blocks(x, (layer) => attendOneToCache(caches[layer] as (typeof caches)[number], position));
    return { logits, state: this.after(state, 1) };
  }

  private blocks(x: Tensor<"f32">, attend: (layer: number) => Attend | undefined): Tensor<"f32"> {
    const { blocks, norm, tokens } = this.trunk;
    const y = blocks.reduce((y, block, layer) => block.forward(y, attend(layer)), x);
    return linear(norm.forward(y), tokens.weight);
  }

  /** The caches were written in place; the position is counted on the device. */
  private after({ tensors, seen }: ModelState, length: number): ModelState {
    const caches = this.trunk.blocks.map((_, layer) => [
      cacheName(layer),
      share(tensors[cacheName(layer)] as Tensor<"f32">),
    ]);
    const position = affine(tensors[POSITION] as Tensor<"f32">, 1, length);
    return new ModelState({ ...Object.fromEntries(caches), [POSITION]: reshape(position, [1]) }, seen + length);
  }

  private cachesOf({ tensors }: ModelState, batch: number) {
    return this.trunk.blocks.map((_, layer) => cacheOf(tensors[cacheName(layer)] as Tensor, this.cacheSizes(batch)));
  }

  private cacheSizes(batch: number) {
    const { channels, heads, contextLength } = this.config;
    return { batch, keyHeads: heads, size: channels / heads, capacity: contextLength };
  }
}
