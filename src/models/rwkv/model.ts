import type { Device } from "../../gpu/device.ts";
import { type InitOptions, randomOf, uniformInit } from "../../nn/init.ts";
import { Module, type Parameter } from "../../nn/module.ts";
import { LayerNorm } from "../../nn/norm.ts";
import { type BlockResult, type BlockState, RwkvBlock, type Stream } from "../../nn/rwkv/block.ts";
import { paddingOf } from "../../nn/rwkv/padding.ts";
import { Projection } from "../../nn/rwkv/projection.ts";
import type { RwkvVersion } from "../../nn/rwkv/types.ts";
import { checkLengths } from "../../ops/attention/cache.ts";
import { embedding } from "../../ops/embedding.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Decoder, Forward, ForwardOptions, LanguageModel, ModelConfig } from "../language.ts";
import { ModelState, zeroState } from "../state.ts";
import { checkTokens, stepwiseDecoder } from "../stepwise.ts";
import { completeConfig, type RwkvConfig, versionOf } from "./config.ts";

/** Parts of a model state that a block has. */
const parts = ["att.shift", "att.wkv", "ffn.shift"] as const;
export const stateName = (layer: number, part: (typeof parts)[number]): string => `blocks.${layer}.${part}`;

/** The token table, `emb.weight`. */
class Table extends Module {
  readonly weight: Parameter;

  constructor(weight: Parameter) {
    super();
    this.weight = this.matrix("weight", weight);
  }
}

/**
 * An RWKV language model of version 4, 5, 6 or 7 under its published names (`emb`, `blocks.0.att.time_decay`, `ln_out`,
 * `head`): a transformer without attention in training, a recurrent network with a state of constant size in generation.
 * Peng et al. 2023, https://arxiv.org/abs/2305.13048; 2024, https://arxiv.org/abs/2404.05892; 2025,
 * https://arxiv.org/abs/2503.14456.
 */
export class RwkvLanguageModel extends Module implements LanguageModel {
  readonly device: Device;
  readonly config: RwkvConfig;
  readonly contextLength = Number.POSITIVE_INFINITY;
  private readonly version: RwkvVersion;
  private readonly emb: Table;
  private readonly blocks: readonly RwkvBlock[];
  private readonly norm: LayerNorm;
  private readonly head: Projection;

  constructor(device: Device, given: ModelConfig, init: InitOptions = {}) {
    super();
    const config = completeConfig(given);
    const { vocabSize, channels, heads, numLayers, hiddenSize, headEps } = config;
    const random = randomOf(init);
    this.device = device;
    this.config = config;
    this.version = versionOf(config.kind);
    this.emb = this.child("emb", new Table(uniformInit(device, [vocabSize, channels], 1e-4, random)));
    const ranks = {
      mix: config.mixRank,
      decay: config.decayRank,
      rate: config.rateRank,
      value: config.valueRank,
      gate: config.gateRank,
    };
    const common = { channels, heads, hidden: hiddenSize, headEps, ranks, layers: numLayers, random };
    this.blocks = Array.from({ length: numLayers }, (_, layer) =>
      this.child(`blocks.${layer}`, new RwkvBlock(device, this.version, { ...common, layer })),
    );
    this.norm = this.child("ln_out", new LayerNorm(device, channels));
    const gain = 0.5 * Math.sqrt(Math.max(1, vocabSize / channels));
    this.head = this.child("head", new Projection(device, channels, vocabSize, gain, random));
  }

  forward(tokens: Tensor, state?: ModelState, { lengths = null }: ForwardOptions = {}): Forward {
    checkTokens(this.config.kind, tokens, {});
    const [batch = 0, steps = 0] = tokens.shape;
    if (lengths) checkLengths(this.config.kind, lengths, batch);
    const padding = lengths && paddingOf(lengths, steps);
    let stream: Stream = { x: embedding(this.emb.weight, tokens), update: null };
    let firstValue: Tensor | undefined;
    const tensors: Record<string, Tensor<"f32">> = {};
    this.blocks.forEach((block, layer) => {
      const result: BlockResult = block.forward(stream, {
        state: state && blockState(state, layer),
        padding,
        firstValue,
      });
      ({ stream, firstValue } = result);
      tensors[stateName(layer, "att.shift")] = result.state.att.shift;
      tensors[stateName(layer, "att.wkv")] = result.state.att.wkv;
      tensors[stateName(layer, "ffn.shift")] = result.state.ffn.shift;
    });
    const logits = this.head.forward(this.norm.add(stream.x, stream.update).y);
    return { logits, state: new ModelState(tensors, lengths ? Number.NaN : (state?.seen ?? 0) + steps) };
  }

  initialState(batch: number): ModelState {
    const { channels, heads, numLayers } = this.config;
    const size = channels / heads;
    const wkv = this.version === "4" ? [3, batch, channels] : [batch, heads, size, size];
    const shapes: Record<(typeof parts)[number], Shape> = {
      "att.shift": [batch, channels],
      "att.wkv": wkv,
      "ffn.shift": [batch, channels],
    };
    const entries = Array.from({ length: numLayers }, (_, layer) =>
      parts.map((part) => [stateName(layer, part), shapes[part]]),
    );
    return zeroState(this.device, Object.fromEntries(entries.flat()));
  }

  decoder(): Decoder {
    return stepwiseDecoder(this);
  }
}

function blockState({ tensors }: ModelState, layer: number): BlockState {
  const get = (part: (typeof parts)[number]) => tensors[stateName(layer, part)] as Tensor;
  return { att: { shift: get("att.shift"), wkv: get("att.wkv") }, ffn: { shift: get("ffn.shift") } };
}
