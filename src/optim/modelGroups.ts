import type { LanguageModel } from "../models/language.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ParameterGroup } from "./groups.ts";

/** Options of `optimizerGroups`. */
export interface GroupOptions {
  /** Weight decay of the matrices; default 0.1. Everything else has none. */
  readonly weightDecay?: number;
}

type Rule = {
  /** Learning-rate factors by the end of a parameter's name. */
  readonly lrScale: Readonly<Record<string, number>>;
  /** Whether a parameter of two or more axes decays. */
  readonly decays: (name: string) => boolean;
};

/** Matrices that do not multiply the input: decays of a state-space model, by the name of the kind. */
const plain: Rule = { lrScale: {}, decays: (name) => !name.endsWith("A_log") };

/** Decays and bonuses decide what is remembered and move slowly; of the matrices, low-rank maps do not decay. */
const rwkv: Rule = {
  lrScale: { "att.time_decay": 2, "att.time_first": 3, "att.w0": 2 },
  decays: (name) => name.endsWith(".weight"),
};

/**
 * The parameters of a model in the groups in which its kind is usually trained: weight decay on matrices only and, for
 * RWKV, learning rates that are twice (decays) or three times (version 4's bonus) the others'. Pass them to an optimizer.
 * Source: for RWKV https://github.com/BlinkDL/RWKV-LM, configure_optimizers, first stage; Gu and Dao 2023,
 * https://arxiv.org/abs/2312.00752, for the state-space models.
 *
 * @example
 * const optimizer = new AdamW(optimizerGroups(model), { lr: 6e-4, betas: [0.9, 0.99], maxNorm: 1 });
 */
export function optimizerGroups(model: LanguageModel, { weightDecay = 0.1 }: GroupOptions = {}): ParameterGroup[] {
  const { lrScale, decays } = model.config.kind.startsWith("rwkv") ? rwkv : plain;
  const groups = new Map<string, ParameterGroup & { readonly parameters: Tensor<"f32">[] }>();
  for (const [name, parameter] of model.namedParameters()) {
    const scale = Object.entries(lrScale).find(([end]) => name.endsWith(end))?.[1] ?? 1;
    const matrix = parameter.shape.filter((n) => n > 1).length > 1;
    const decay = matrix && decays(name) ? weightDecay : 0;
    const key = `${scale} ${decay}`;
    const group = groups.get(key) ?? { parameters: [], lrScale: scale, weightDecay: decay };
    groups.set(key, group);
    group.parameters.push(parameter);
  }
  return [...groups.values()];
}
