import type { LanguageModel, ModelConfig } from "../../src/models/language.ts";
import { type ModelKind, type ModelOption, modelKind, modelKinds } from "../../src/models/registry.ts";
import type { ModelChoice, Settings } from "../protocol.ts";

/** What the page's own fields width, layers and context stand for. */
const SHARED = new Set(["hiddenSize", "channels", "numLayers", "contextLength"]);

/** Residual streams of attention and RWKV want smaller steps than a recurrent layer. */
const RESIDUAL_RATE = 0.3;

/** Whether a kind of model has an option: `contextLength` of those that see only so far back, `channels` of residual streams. */
export const takes = ({ options }: ModelKind, option: string): boolean => options.some(({ name }) => name === option);

/** Bytes that a model remembers of one text. */
export function stateBytesOf(model: LanguageModel): number {
  const state = model.initialState(1);
  const { byteLength } = state;
  state.dispose();
  return byteLength;
}

/** The architectures, as the page offers them. */
export const modelChoices: readonly ModelChoice[] = modelKinds.map((kind) => ({
  id: kind.kind,
  name: kind.label,
  about: kind.summary,
  options: ownOptions(kind),
  windowed: takes(kind, "contextLength"),
  rate: takes(kind, "channels") ? RESIDUAL_RATE : 1,
}));

function ownOptions({ options }: ModelKind): readonly ModelOption[] {
  return options.filter(({ name }) => !SHARED.has(name));
}

/** The engine's configuration of the chosen model; options of another model are left out. */
export function configOf({ model, width, layers, context, options }: Settings, vocabSize: number): ModelConfig {
  const kind = modelKind(model);
  const chosen = ownOptions(kind).filter(({ name }) => options[name] !== undefined);
  return {
    ...kind.sized({ vocabSize, width, numLayers: layers, contextLength: context }),
    ...Object.fromEntries(chosen.map(({ name }) => [name, options[name] as number])),
  };
}

/** The value of each of a model's own options in a configuration. */
export function optionsOf(config: ModelConfig): Readonly<Record<string, number>> {
  const own = ownOptions(modelKind(config.kind));
  return Object.fromEntries(own.map(({ name, default: usual }) => [name, Number(config[name] ?? usual)]));
}
