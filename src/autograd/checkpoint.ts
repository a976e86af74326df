import { ValueError } from "../gpu/errors.ts";
import { repeatDraws, watchDraws } from "../tensor/generator.ts";
import { scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { backward } from "./backward.ts";
import { detach, type GraphNode, nodesMade, record } from "./graph.ts";
import { enableGrad, noGrad } from "./mode.ts";

/**
 * Gradient checkpointing: runs `fn` without keeping its intermediates and runs it again during backward, so that memory is
 * traded for one more forward pass. The same result, gradients and dropout masks as `fn(...inputs)`.
 * Source: Chen, Xu, Zhang, Guestrin 2016, https://arxiv.org/abs/1604.06174.
 * @param fn pure but for the generators that it draws from. It may use parameters from outside, which get their gradients and must
 * live until backward; computed tensors that need a gradient must come in through `inputs`.
 * @param inputs tensors of any shape; those that require a gradient get one
 * @throws ValueError if `fn` returns one of its inputs, or reaches a computed tensor that did not come in through them
 */
export function checkpoint<I extends readonly Tensor[], R extends Tensor | readonly Tensor[]>(
  fn: (...inputs: I) => R,
  ...inputs: I
): R {
  const { result, starts } = watchDraws(() => noGrad(() => scope(() => fn(...inputs))));
  const outputs = listOf(result);
  if (outputs.some((output) => inputs.includes(output))) {
    throw new ValueError("checkpoint: the function returns one of its inputs; return what it computes from them");
  }
  const states = [...starts.keys()].map((generator) => generator.words);
  record<readonly Tensor[]>(
    "checkpoint",
    outputs,
    inputs,
    [...inputs, ...states],
    (grads, sink, saved) => {
      const leaves = inputs.map((_, i) => {
        const leaf = detach(saved[i] as Tensor);
        leaf.requiresGrad = sink.needs(i);
        return leaf;
      });
      const before = nodesMade();
      const again = listOf(repeatDraws(starts, () => enableGrad(() => scope(() => fn(...(leaves as unknown as I))))));
      const roots = again.flatMap((root, i) =>
        grads[i] && root.requiresGrad ? [{ root, grad: grads[i] as Tensor }] : [],
      );
      refuseOutsiders(
        roots.map(({ root }) => root),
        before,
      );
      backward(
        roots.map(({ root }) => root),
        roots.map(({ grad }) => grad),
      );
      return leaves.map((leaf) => takeGrad(leaf));
    },
    { force: true },
  );
  return result;
}

function listOf(result: Tensor | readonly Tensor[]): readonly Tensor[] {
  return Array.isArray(result) ? result : [result as Tensor];
}

/** The gradient of a temporary leaf, taken out of it. */
function takeGrad(leaf: Tensor): Tensor | null {
  const { grad } = leaf;
  if (grad) leaf.gradSlot = null;
  leaf.gradValid = false;
  return grad;
}

/** The second run may not reach into the graph around it: that part is differentiated by the backward that is under way. */
function refuseOutsiders(roots: readonly Tensor[], before: number): void {
  const found = new Set(roots.flatMap((root) => (root.origin ? [root.origin as GraphNode] : [])));
  for (const node of found) {
    if (node.id <= before) {
      throw new ValueError(
        `checkpoint: the function uses a result of ${node.name} from outside that needs a gradient; pass it as an input`,
      );
    }
    for (const edge of node.edges) if (edge.node) found.add(edge.node);
  }
}
