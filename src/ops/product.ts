import combineKernel from "../../kernels/matmul/combine.wgsl";
import directKernel from "../../kernels/matmul/direct.wgsl";
import quadsKernel from "../../kernels/matmul/direct_subgroup.wgsl";
import tiledKernel from "../../kernels/matmul/tiled.wgsl";
import vectorKernel from "../../kernels/matmul/vector.wgsl";
import sumsKernel from "../../kernels/matmul/vector_subgroup.wgsl";
import type { Device } from "../gpu/device.ts";
import { empty } from "../tensor/create.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Choice, choose, type ProductShape, readsVectors, type TiledChoice, tilesOf } from "./choice.ts";
import type { DirectKnobs } from "./tuned.ts";
import { type Activation, activationNumber } from "./unary.ts";

/** Activations that a product applies to its result before storing it. */
export type FusedActivation = Extract<
  Activation,
  "relu" | "reluSquared" | "gelu" | "geluTanh" | "silu" | "tanh" | "sigmoid"
>;

/** Elements between matrices of an operand along the major and the minor batch axis; 0 shares one matrix. */
export type Steps = readonly [major: number, minor: number];

/** out = activation(a b + bias), or out += that. The tensors' shapes do not matter, only these sizes. */
export interface Product {
  readonly a: Tensor;
  /** May be stored as halves. */
  readonly b: Tensor;
  /** (N), added to every row. */
  readonly bias?: Tensor | null;
  /** (batch, M, N); must be other memory than the operands. Elements after these stay as they are. */
  readonly out: Tensor;
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Matrices of out; default 1. */
  readonly batch?: number;
  /** Matrices along the minor of two batch axes; default `batch`, as if there were one axis. */
  readonly minor?: number;
  /** Default: matrices of an operand follow each other without gaps. */
  readonly stepsA?: Steps;
  readonly stepsB?: Steps;
  /** a is stored (K, M). */
  readonly transposeA?: boolean;
  /** b is stored (N, K). */
  readonly transposeB?: boolean;
  /** Add to out instead of overwriting it. */
  readonly accumulate?: boolean;
  readonly activation?: FusedActivation | null;
  /** Default: chosen by shape and device. */
  readonly choice?: Choice;
}

/** Workgroups along z; each takes every so many-th matrix. */
const MOST_MATRICES = 65535;

/**
 * Matrix product for use inside operations, without a gradient of its own. K = 0 gives zeros (and bias).
 * Deterministic: the order of additions depends on sizes and device alone.
 */
export function product(device: Device, options: Product): void {
  const { M, N, K, batch = 1, transposeA = false, transposeB = false } = options;
  if (M * N * batch === 0) return;
  const shape = { M, N, K, batch, transposeA, transposeB };
  const choice = options.choice ?? choose(shape, device);
  if (choice.kernel === "tiled" && choice.splits > 1) {
    split(device, options, shape, choice);
  } else {
    launch(device, options, shape, choice);
  }
}

/** Products of parts of K side by side, then their sum and what follows it. */
function split(device: Device, options: Product, shape: ProductShape, choice: TiledChoice): void {
  const { bias, out: y } = options;
  const { splits } = choice;
  const size = shape.M * shape.N * shape.batch;
  const parts = empty(device, [splits, size]);
  launch(device, { ...options, out: parts, bias: null, activation: null, accumulate: false }, shape, choice);
  const buffers = { parts, bias: bias ?? parts, y };
  const groups = [Math.ceil(size / 64)] as const;
  device.dispatch(combineKernel, "forward", buffers, { N: shape.N, size, splits }, groups, epilogue(options));
  parts.dispose();
}

/** Knobs for what is done to a sum before it is stored. */
function epilogue({ bias, activation, accumulate = false }: Product) {
  return { BIAS: Boolean(bias), ACTIVATION: activation ? activationNumber(activation) : 0, ADD: accumulate };
}

function launch(device: Device, options: Product, shape: ProductShape, choice: Choice): void {
  const { a, b, bias, out } = options;
  const { M, N, K, batch, transposeA, transposeB } = shape;
  // Without bias, any readable tensor fills its place.
  const buffers = { a, b, bias: bias ?? a, y: out };
  const params = {
    M,
    N,
    K,
    batch,
    minor: options.minor ?? batch,
    a_steps: options.stepsA ?? [0, M * K],
    b_steps: options.stepsB ?? [0, K * N],
  };
  const words = b.half ? { word_b: "vec2u", WORDS_B: 2 } : {};
  const common = { ...words, ...epilogue(options) };
  const flags = { ...common, TRANSPOSE_B: transposeB };
  // Kernels that read an operand by elements where they must have a second binding of it.
  const elements = { elements_a: a, elements_b: b };
  const z = Math.min(batch, MOST_MATRICES);
  switch (choice.kernel) {
    case "quads": {
      const knobs = { ...flags, TRANSPOSE_A: transposeA, ...choice.knobs };
      device.dispatch(quadsKernel, "forward", buffers, params, [directTiles(shape, choice.knobs), 1, z], knobs);
      return;
    }
    case "direct": {
      const knobs = { ...flags, ...byElements(shape), TRANSPOSE_A: transposeA, TAIL: K % 4 !== 0, ...choice.knobs };
      const groups = [directTiles(shape, choice.knobs), 1, z] as const;
      device.dispatch(directKernel, "forward", { ...buffers, ...elements }, params, groups, knobs);
      return;
    }
    case "vector": {
      const { WIDTH, SLICES } = choice.knobs;
      const knobs = { ...flags, ROWS: M, LANES: WIDTH * SLICES, ...choice.knobs };
      device.dispatch(vectorKernel, "forward", buffers, params, [Math.ceil(N / (4 * WIDTH)), 1, z], knobs);
      return;
    }
    case "sums": {
      const knobs = { ...common, ROWS: M, ...choice.knobs };
      device.dispatch(sumsKernel, "forward", buffers, params, [Math.ceil(N / 4), 1, z], knobs);
      return;
    }
    case "tiled": {
      const { splits } = choice;
      const chunk = 4 * Math.ceil(K / splits / 4);
      const groups = [tilesOf(shape, choice.knobs), 1, Math.min(batch * splits, MOST_MATRICES)] as const;
      const knobs = { ...flags, ...byElements(shape), TRANSPOSE_A: transposeA, ...choice.knobs };
      const all = { ...buffers, ...elements };
      device.dispatch(tiledKernel, "forward", all, { ...params, splits, chunk }, groups, knobs);
    }
  }
}

/** Which operands have rows that do not divide into vectors. */
function byElements(shape: ProductShape) {
  const vectors = readsVectors(shape);
  return { ELEMENTS_A: !vectors.a, ELEMENTS_B: !vectors.b };
}

/** Workgroups of the direct kernels, whose invocations make 8 x 4 results. */
function directTiles({ M, N }: ProductShape, { WIDTH, HEIGHT }: DirectKnobs): number {
  return Math.ceil(M / (8 * HEIGHT)) * Math.ceil(N / (4 * WIDTH));
}
