/** For kinds whose fixtures hold a whole module's parameters. */
import type { HostTensor, Module } from "../../src/nn/module.ts";
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

/** Hands the gradients of a module's parameters over under their names. */
export function compareGradients(fixture: FixtureCase, module: Module, outputs: Record<string, Tensor>): void {
  fixture.onGradients(() => {
    for (const [name, parameter] of module.namedParameters()) {
      if (parameter.grad) outputs[`grad.${name}`] = parameter.grad;
    }
  });
}
