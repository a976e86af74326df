/** Small models as files, and what they must give again. */
import type { Device } from "../../src/gpu/device.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import type { LanguageModel, ModelConfig } from "../../src/models/language.ts";
import { MambaLanguageModel } from "../../src/models/mamba/model.ts";
import { RwkvLanguageModel } from "../../src/models/rwkv/model.ts";
import { TransformerLanguageModel } from "../../src/models/transformer.ts";
import type { StateDict } from "../../src/nn/module.ts";
import { spreadWeights } from "./language.ts";

const builders = {
  ...Object.fromEntries(
    ["4", "5.1", "5.2", "6", "7"].map((version) => [
      `rwkv${version}`,
      (device: Device) => {
        const heads = version === "4" ? 1 : 2;
        return new RwkvLanguageModel(device, {
          kind: `rwkv${version}`,
          vocabSize: 19,
          channels: 16,
          heads,
          numLayers: 2,
        });
      },
    ]),
  ),
  gpt2: (device: Device) => {
    const sizes = { vocabSize: 19, channels: 16, heads: 2, numLayers: 2, contextLength: 16 };
    return new TransformerLanguageModel(device, { kind: "transformer", ...sizes });
  },
  mamba: (device: Device) =>
    new MambaLanguageModel(device, { kind: "mamba", vocabSize: 19, channels: 16, numLayers: 2 }),
} as Record<string, (device: Device) => LanguageModel>;

/** What a file of a model must give again. */
export interface Sample {
  readonly config: ModelConfig;
  readonly state: StateDict;
}

export async function sample(device: Device, kind: string): Promise<Sample> {
  const model = (builders[kind] as (device: Device) => LanguageModel)(device);
  spreadWeights(model);
  const result = { config: model.config, state: await model.stateDict() };
  model.dispose();
  return result;
}

export const safetensors = (state: StateDict) => writeSafetensors(state);

export function renamed(state: StateDict, rename: (name: string) => string): StateDict {
  return new Map([...state].map(([name, value]) => [rename(name), value]));
}

/** As flash-linear-attention calls RWKV-7, its low-rank maps transposed. */
export function linearAttention(state: StateDict): StateDict {
  const parts = { receptance: "r_proj", key: "k_proj", value: "v_proj", output: "o_proj", ln_x: "g_norm" };
  const entries = [...state].map(([name, value]) => {
    const low = /\.att\.([wavg])([012])$/.exec(name);
    const long = `model.${name}`
      .replace("model.head.", "lm_head.")
      .replace("model.emb.", "model.embeddings.")
      .replace("model.ln_out.", "model.norm.")
      .replace(".blocks.", ".layers.")
      .replace(".ln0.", ".pre_norm.")
      .replace(".ln1.", ".attn_norm.")
      .replace(".ln2.", ".ffn_norm.")
      .replace(/\.att\.(receptance|key|value|output|ln_x)\./, (_, part: "key") => `.attn.${parts[part]}.`)
      .replace(/\.att\.([wavg])0$/, ".attn.$1_lora.lora.2.bias")
      .replace(/\.att\.([wavg])1$/, ".attn.$1_lora.lora.0.weight")
      .replace(/\.att\.([wavg])2$/, ".attn.$1_lora.lora.2.weight")
      .replace(".att.", ".attn.");
    if (!low) return [long, value] as const;
    if (low[2] === "0") return [long, { shape: [value.values.length], values: value.values }] as const;
    const [rows, columns] = value.shape as [number, number];
    const turned = Float32Array.from(
      value.values,
      (_, i) => value.values[(i % rows) * columns + Math.floor(i / rows)]!,
    );
    return [long, { shape: [columns, rows], values: turned }] as const;
  });
  return new Map(entries);
}
