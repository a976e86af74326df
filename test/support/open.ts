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

export const safetensors = (state: StateDict) =>
  writeSafetensors([...state].map(([name, { shape, values }]) => [name, { shape, data: values }]));

export function renamed(state: StateDict, rename: (name: string) => string): StateDict {
  return new Map([...state].map(([name, value]) => [rename(name), value]));
}
