import accumulateKernel from "../../kernels/elementwise/accumulate.wgsl";
import { DisposedError, ShapeError, ValueError } from "../gpu/errors.ts";
import { empty, full } from "../tensor/create.ts";
import { keep, scope } from "../tensor/scope.ts";
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { hold } from "../tensor/view.ts";
import { type Edge, type Grad, GraphNode, type GradSink, slotOf } from "./graph.ts";
import { noGrad } from "./mode.ts";

export interface BackwardOptions {
  /** Keep the graph, so that backward can run over it again (gradients then add up). */
  readonly retainGraph?: boolean;
}

/**
 * Reverse-mode differentiation: adds d(of)/d(leaf) to `leaf.grad` of every leaf that requires a gradient.
 * @param grad upstream gradient, of the shape of `of`; may be left out for one element, then 1
 * @throws DisposedError if an earlier backward used the graph up
 * @throws ValueError if a value that a gradient needs was overwritten in place since
 */
export function backward(of: Tensor, grad?: Tensor, options: BackwardOptions = {}): void {
  of.check("backward");
  if (!of.requiresGrad) throw new ValueError("backward: the tensor does not depend on anything that requires a gradient; set requiresGrad on parameters and call outside noGrad");
  if (!grad && of.size !== 1) throw new ShapeError(`backward: the tensor is ${show(of.shape)}; reduce it to one element (sum, mean) or pass an upstream gradient of its shape`);
  if (grad && !sameShape(grad.shape, of.shape)) throw new ShapeError(`backward: the upstream gradient is ${show(grad.shape)} and the tensor ${show(of.shape)}; they must be equal`);
  noGrad(() => {
    const seed = grad ? hold(grad) : keep(full(of.device, of.shape, 1));
    const root = of.origin as GraphNode | null;
    if (!root) addToLeaf(of, seed);
    else propagate(root, slotOf(of), seed, options.retainGraph ?? false);
  });
}

function propagate(root: GraphNode, slot: number, seed: Tensor, retainGraph: boolean): void {
  const nodes = reachable(root);
  const pending = new Map<GraphNode, Grad[]>();
  for (const node of nodes) pending.set(node, new Array<Grad>(node.outputs).fill(null));
  (pending.get(root) as Grad[])[slot] = seed;
  for (const node of nodes) {
    const grads = pending.get(node) as Grad[];
    pending.delete(node);
    if (grads.some((g) => g !== null)) route(node, grads, pending);
    for (const g of grads) g?.dispose();
    if (!retainGraph) node.free();
  }
}

/** Runs one node and hands its gradients on. */
function route(node: GraphNode, grads: readonly Grad[], pending: Map<GraphNode, Grad[]>): void {
  const sink: GradSink = {
    needs: (i) => wants(node.edges[i]),
    into: (i) => {
      const leaf = node.edges[i]?.leaf;
      return leaf ? slotFor(leaf) : null;
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
    else if (edge.node) {
      const slots = pending.get(edge.node) as Grad[];
      const before = slots[edge.slot];
      slots[edge.slot] = before ? sum(before, own) : own;
    }
  });
}

function wants(edge: Edge | undefined): boolean {
  return edge !== undefined && (edge.node !== null || edge.leaf !== null);
}

/** Every node that `root` depends on, latest first, which is a topological order. */
function reachable(root: GraphNode): GraphNode[] {
  const found = new Set<GraphNode>([root]);
  for (const node of found) {
    if (node.freed) throw new DisposedError(`backward: the graph of ${node.name} was used up by an earlier backward; run the forward pass again or pass { retainGraph: true } the first time`);
    if (node.stale) throw new ValueError(`backward: a value that ${node.name} saved was overwritten in place since; run backward before changing it`);
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
