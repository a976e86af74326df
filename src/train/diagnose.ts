import { backward } from "../autograd/backward.ts";
import { watchRecords } from "../autograd/graph.ts";
import { noGrad } from "../autograd/mode.ts";
import type { LanguageModel } from "../models/language.ts";
import type { ModelState } from "../models/state.ts";
import { countNonFinite } from "../ops/finite.ts";
import { keep, scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * What turns non-finite first in a step, in words that name the parameter nearest to it: a parameter, the state carried
 * from the batch before, the result of an operation in the order of the step, or a gradient, those nearest to the loss
 * first. Runs the step anew and leaves its gradients behind.
 *
 * @param loss makes the loss of the step
 * @param carried what the step starts from
 * @returns null if all is finite
 */
export async function firstNonFinite(
  model: LanguageModel,
  loss: () => Tensor,
  carried: ModelState | null,
): Promise<string | null> {
  const named = [...model.namedParameters()];
  const names = new Map<Tensor, string>(named.map(([name, parameter]) => [parameter, name]));
  const suspects: { readonly what: string; readonly count: Tensor<"u32"> }[] = [];
  const suspect = (what: string, tensor: Tensor) => {
    if (tensor.dtype === "f32") suspects.push({ what, count: keep(noGrad(() => countNonFinite(tensor))) });
  };
  scope(() => {
    for (const [name, parameter] of named) suspect(`the parameter ${name}`, parameter);
    for (const [name, part] of Object.entries(carried?.tensors ?? {}))
      suspect(`${name} of the state that the batch before left`, part);
    let place = "at the start";
    const value = watchRecords((op, outputs, inputs) => {
      const own = inputs.map((input) => names.get(input)).find((name) => name !== undefined);
      if (own) place = `after ${own}`;
      for (const output of outputs) suspect(`the result of ${op} ${own ? `with ${own}` : place}`, output);
    }, loss);
    backward(value);
    for (const [name, { grad }] of named.reverse()) if (grad) suspect(`the gradient of ${name}`, grad);
  });
  const counts = await Promise.all(suspects.map(({ count }) => count.item()));
  for (const { count } of suspects) count.dispose();
  return suspects[counts.findIndex((count) => count > 0)]?.what ?? null;
}
