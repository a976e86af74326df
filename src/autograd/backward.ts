import accumulateKernel from "../../kernels/elementwise/accumulate.wgsl";
import { DisposedError, ShapeError, ValueError } from "../gpu/errors.ts";
import { empty, full } from "../tensor/create.ts";
import { keep, scope } from "../tensor/scope.ts";
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { hold } from "../tensor/view.ts";
import { type Edge, type Grad, type GradSink, type GraphNode, slotOf } from "./graph.ts";
import { noGrad } from "./mode.ts";

/** How `backward` treats the graph. */
export interface BackwardOptions {
  /** Keep the graph, so that backward can run over it again (gradients then add up). */
  readonly retainGraph?: boolean;
}

/**
 * Reverse-mode differentiation: adds d(of)/d(leaf) to `leaf.grad` of every leaf that requires a gradient.
 * Several tensors are differentiated in one pass, as the sum of their products with `grad`.
 * @param grad upstream gradients, each of the shape of its tensor; may be left out for one element, then 1
 * @throws DisposedError if an earlier backward used the graph up
 * @throws ValueError if a value that a gradient needs was overwritten in place since
 */
export function backward(
  of: Tensor | readonly Tensor[],
  grad?: Tensor | readonly (Tensor | undefined)[],
  options: BackwardOptions = {},
): void {
  const roots = Array.isArray(of) ? (of as readonly Tensor[]) : [of as Tensor];
  const grads = Array.isArray(grad) ? (grad as readonly (Tensor | undefined)[]) : [grad as Tensor | undefined];
  roots.forEach((root, i) => {
    checkRoot(root, grads[i]);
  });
  noGrad(() => {
    const nodes = reachable(roots.flatMap((root) => (root.origin ? [root.origin as GraphNode] : [])));
    const pending = new Map<GraphNode, Grad[]>();
    // Held while the walk lasts: freeing a node lets go of the nodes before it, which are still to run.
    for (const node of nodes) {
      node.retain();
      pending.set(node, new Array<Grad>(node.outputs).fill(null));
    }
    try {
      roots.forEach((root, i) => {
        const given = grads[i];
        const seed = given ? hold(given) : keep(full(root.device, root.shape, 1));
        if (root.origin) give(pending, root.origin as GraphNode, slotOf(root), seed);
        else addToLeaf(root, seed);
      });
      for (const node of nodes) {
        const outputs = pending.get(node) as Grad[];
        if (outputs.some((g) => g !== null)) route(node, outputs, pending);
        pending.delete(node);
        for (const g of outputs) g?.dispose();
        if (!options.retainGraph) node.free();
      }
    } finally {
      for (const left of pending.values()) for (const g of left) g?.dispose();
      for (const node of nodes) node.release();
    }
  });
}

function checkRoot(root: Tensor, grad: Tensor | undefined): void {
  root.check("backward");
  if (!root.requiresGrad) {
    throw new ValueError(
      "backward: the tensor does not depend on anything that requires a gradient; set requiresGrad on parameters and call outside noGrad",
    );
  }
  if (!grad && root.size !== 1) {
    throw new ShapeError(
      `backward: the tensor is ${show(root.shape)}; reduce it to one element (sum, mean) or pass an upstream gradient of its shape`,
    );
  }
  if (grad && !sameShape(grad.shape, root.shape)) {
    throw new ShapeError(
      `backward: the upstream gradient is ${show(grad.shape)} and the tensor ${show(root.shape)}; they must be equal`,
    );
  }
}

/** Adds a gradient to what an output of a node already got. */
function give(pending: Map<GraphNode, Grad[]>, node: GraphNode, slot: number, grad: Tensor): void {
  const slots = pending.get(node) as Grad[];
  const before = slots[slot];
  slots[slot] = before ? sum(before, grad) : grad;
}

/** Runs one node and hands its gradients on. */
function route(node: GraphNode, grads: readonly Grad[], pending: Map<GraphNode, Grad[]>): void {
  const sink: GradSink = {
    needs: (i) => wants(node.edges[i]),
    into: (i) => {
      const edge = node.edges[i];
      return edge?.leaf && wants(edge) ? slotFor(edge.leaf) : null;
    },
  };
  const results = scope(() => node.run(grads, sink, node.saved));
  const taken = new Set<Tensor>();
  results.forEach((result, i) => {
    const edge = node.edges[i];
    if (!result) return;
    if (!edge || !wants(edge)) {
      if (!grads.includes(result)) result.dispose();
      return;
    }
    // A gradient that is passed through, or returned for two inputs, must not be owned twice.
    const own = grads.includes(result) || taken.has(result) ? hold(result) : keep(result);
    taken.add(result);
    if (edge.leaf) addToLeaf(edge.leaf, own);
    else if (edge.node) give(pending, edge.node, edge.slot, own);
  });
}

/** A leaf that was disposed since wants nothing. */
function wants(edge: Edge | undefined): boolean {
  return edge !== undefined && (edge.node !== null || (edge.leaf !== null && !edge.leaf.disposed));
}

/** Every node that the roots depend on, latest first, which is a topological order. */
function reachable(roots: readonly GraphNode[]): GraphNode[] {
  const found = new Set<GraphNode>(roots);
  for (const node of found) {
    if (node.freed)
      throw new DisposedError(
        `backward: the graph of ${node.name} was used up by an earlier backward; run the forward pass again or pass { retainGraph: true } the first time`,
      );
    if (node.stale)
      throw new ValueError(
        `backward: a value that ${node.name} saved was overwritten in place since; run backward before changing it`,
      );
    for (const edge of node.edges) if (edge.node) found.add(edge.node);
  }
  return [...found].sort((a, b) => b.id - a.id);
}

/** Memory for a leaf's gradient; marks it valid, because the caller writes it. */
function slotFor(leaf: Tensor): { grad: Tensor<"f32">; accumulate: boolean } {
  leaf.gradSlot ??= keep(empty(leaf.device, leaf.shape));
  const accumulate = leaf.gradValid;
  leaf.gradValid = true;
  return { grad: leaf.gradSlot, accumulate };
}

function addToLeaf(leaf: Tensor, grad: Tensor): void {
  if (!leaf.gradSlot && grad.storage.exclusive) {
    leaf.gradSlot = grad as Tensor<"f32">;
    leaf.gradValid = true;
    return;
  }
  const { grad: slot, accumulate } = slotFor(leaf);
  accumulateInto(slot, grad, accumulate);
  grad.dispose();
}

/** a + b, in the memory of whichever nothing else shares. */
function sum(a: Tensor, b: Tensor): Tensor {
  const target = a.storage.exclusive ? a : b.storage.exclusive ? b : null;
  if (target) {
    const other = target === a ? b : a;
    accumulateInto(target, other, true);
    other.dispose();
    return target;
  }
  const fresh = keep(empty(a.device, a.shape));
  accumulateInto(fresh, a, false);
  accumulateInto(fresh, b, true);
  a.dispose();
  b.dispose();
  return fresh;
}

/** y = x, or y += x. */
function accumulateInto(y: Tensor, x: Tensor, add: boolean): void {
  const words = Math.ceil(y.size / 4);
  y.device.dispatch(accumulateKernel, "accumulate", { x, y }, { words }, [Math.ceil(words / 64)], { ADD: add });
}
