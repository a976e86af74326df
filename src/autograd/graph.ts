import type { Origin, Tensor } from "../tensor/tensor.ts";
import { hold, share } from "../tensor/view.ts";
import { gradEnabled } from "./mode.ts";

/** Gradient of one output, or null if nothing downstream used that output. */
export type Grad = Tensor | null;

/** Lets an operation's backward see what is wanted of it, and write parameter gradients where they belong. */
export interface GradSink {
  /** Whether input `i` wants a gradient. */
  needs(i: number): boolean;
  /**
   * For a leaf: where its gradient goes, so that a kernel can write it there without a copy. A backward that
   * calls this must write it (adding to it if `accumulate`) and return null for that input. Null for others.
   */
  into(i: number): { readonly grad: Tensor<"f32">; readonly accumulate: boolean } | null;
}

/**
 * Computes input gradients from output gradients. May return one of `grads` itself for a gradient that
 * passes through. Runs without recording, in a scope of its own.
 * @param saved the tensors that `record` was told to keep
 */
export type Backward<S extends readonly Tensor[]> = (
  grads: readonly Grad[],
  sink: GradSink,
  saved: S,
) => readonly (Grad | undefined)[];

/** Where a gradient of a node's input goes: to the node that made the input, or to a leaf. */
export interface Edge {
  readonly node: GraphNode | null;
  /** Which output of `node`. */
  readonly slot: number;
  readonly leaf: Tensor | null;
}

let ids = 0;

/** How many operations were recorded so far; ids of later ones are larger. */
export function nodesMade(): number {
  return ids;
}

/** One recorded operation. Lives while one of its outputs or a later node needs it. */
export class GraphNode implements Origin {
  readonly id = ++ids;
  readonly name: string;
  readonly edges: readonly Edge[];
  readonly outputs: number;
  /** True once backward used the saved values up. */
  freed = false;
  readonly run: Backward<readonly Tensor[]>;
  private readonly kept: readonly Tensor[];
  private readonly versions: readonly number[];
  private refs: number;

  constructor(
    name: string,
    inputs: readonly Tensor[],
    outputs: readonly Tensor[],
    saved: readonly Tensor[],
    run: Backward<readonly Tensor[]>,
  ) {
    this.name = name;
    this.outputs = outputs.length;
    this.refs = outputs.length;
    this.run = run;
    this.edges = inputs.map((input) => {
      if (!input.requiresGrad) return { node: null, slot: 0, leaf: null };
      const node = input.origin as GraphNode | null;
      node?.retain();
      return { node, slot: slots.get(input) ?? 0, leaf: node ? null : input };
    });
    this.kept = saved.map((tensor) => hold(tensor));
    this.versions = this.kept.map((tensor) => tensor.storage.version);
  }

  get saved(): readonly Tensor[] {
    return this.kept;
  }

  /** Whether a saved value was overwritten since it was saved. */
  get stale(): boolean {
    return this.kept.some((tensor, i) => tensor.storage.version !== this.versions[i]);
  }

  retain(): void {
    this.refs++;
  }

  release(): void {
    if (--this.refs === 0) this.free();
  }

  /** Gives up saved values and the nodes before this one. */
  free(): void {
    if (this.freed) return;
    this.freed = true;
    for (const tensor of this.kept) tensor.dispose();
    for (const { node } of this.edges) node?.release();
  }
}

/** Which output of its origin a tensor is, where that has several. */
const slots = new WeakMap<Tensor, number>();

export interface RecordOptions {
  /** Record even if no input requires a gradient: `backward` reaches parameters in another way. */
  readonly force?: boolean;
}

/** Sees an operation: its name, what it made, and what it made it of. */
export type Watcher = (name: string, outputs: readonly Tensor[], inputs: readonly Tensor[]) => void;

let watcher: Watcher | null = null;

/** Runs `fn` and shows every differentiable operation in it to `see`, in order. */
export function watchRecords<R>(see: Watcher, fn: () => R): R {
  const outer = watcher;
  watcher = see;
  try {
    return fn();
  } finally {
    watcher = outer;
  }
}

/**
 * Attaches an operation to the graph: `outputs` were computed from `inputs`, and `backward` tells how
 * gradients flow. Does nothing if no input requires a gradient or inside `noGrad`.
 * @param saved tensors, of any shape, whose values `backward` reads; they stay alive until it ran
 */
export function record<S extends readonly Tensor[]>(
  name: string,
  outputs: readonly Tensor[],
  inputs: readonly Tensor[],
  saved: readonly [...S],
  backward: Backward<S>,
  options: RecordOptions = {},
): void {
  watcher?.(name, outputs, inputs);
  if (!gradEnabled()) return;
  if (!options.force && !inputs.some((input) => input.requiresGrad)) return;
  const node = new GraphNode(name, inputs, outputs, saved, backward as unknown as Backward<readonly Tensor[]>);
  outputs.forEach((output, slot) => {
    output.requiresGrad = true;
    output.origin = node;
    if (slot > 0) slots.set(output, slot);
  });
}

export function slotOf(tensor: Tensor): number {
  return slots.get(tensor) ?? 0;
}

/** The same values in the same shape, cut off from the graph: no gradient flows back through the result. */
export function detach<T extends Tensor>(tensor: T): T {
  tensor.check("detach");
  return share(tensor) as T;
}
