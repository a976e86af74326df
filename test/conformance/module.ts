/** For kinds whose fixtures hold a whole module's parameters. */
import type { LanguageModel } from "../../src/models/language.ts";
import type { HostTensor, Module } from "../../src/nn/module.ts";
import { crossEntropy } from "../../src/ops/crossEntropy.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { FixtureCase } from "./kind.ts";

/** The fixture's parameters on the host. */
export async function valuesOf(fixture: FixtureCase): Promise<Map<string, HostTensor>> {
  const names = fixture.names.filter((name) => name.startsWith("param.")).map((name) => name.slice("param.".length));
  const values = names.map(async (name) => {
    const { shape } = fixture.param(name);
    return [name, { shape, values: await fixture.param(name).data() }] as const;
  });
  return new Map(await Promise.all(values));
}

/** Outputs of a module that the fixture then owns; the gradients of its parameters are compared under their names. */
export function outputsOf<M extends Module>(
  fixture: FixtureCase,
  module: M,
  forward: (module: M) => Record<string, Tensor>,
): Record<string, Tensor> {
  fixture.own(module);
  const outputs = scope(() => forward(module));
  fixture.onGradients(() => {
    for (const [name, parameter] of module.namedParameters()) {
      if (parameter.grad) outputs[`grad.${name}`] = parameter.grad;
    }
  });
  return outputs;
}

/** Logits and loss of a language model on the fixture's tokens and targets. */
export function languageOutputs(fixture: FixtureCase, model: LanguageModel): Record<string, Tensor> {
  return outputsOf(fixture, model, () => {
    const { logits } = model.forward(fixture.in("tokens"));
    const rows = reshape(logits, [-1, model.config.vocabSize]);
    return { logits, loss: crossEntropy(rows, reshape(fixture.in("targets"), [-1])) };
  });
}
