import directKernel from "../../kernels/matmul/direct.wgsl";
import quadsKernel from "../../kernels/matmul/direct_subgroup.wgsl";
import tiledKernel from "../../kernels/matmul/tiled.wgsl";
import vectorKernel from "../../kernels/matmul/vector.wgsl";
import type { Device } from "../gpu/device.ts";
import { empty } from "../tensor/create.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { share } from "../tensor/view.ts";
import {
  type Choice,
  choose,
  type DirectKnobs,
  type ProductShape,
  readsVectors,
  type TiledChoice,
  tilesOf,
} from "./choice.ts";
import { columnSums } from "./columns.ts";
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
  const { M, N, K, batch = 1, transposeA = false, transposeB = false, bias, activation } = options;
  if (M * N * batch === 0) return;
  const shape = { M, N, K, batch, transposeA, transposeB, epilogue: Boolean(bias ?? activation) };
  const choice = options.choice ?? choose(shape, device);
  if (choice.kernel === "tiled" && choice.splits > 1) {
    split(device, options, shape, choice);
  } else {
    launch(device, options, shape, choice);
  }
}

/** Products of parts of K side by side, then their sum. */
function split(device: Device, options: Product, shape: ProductShape, choice: TiledChoice): void {
  const size = shape.M * shape.N * shape.batch;
  const parts = empty(device, [choice.splits, size]);
  const out = share(options.out, [size]);
  launch(device, { ...options, out: parts, accumulate: false }, shape, choice);
  columnSums(parts, out, options.accumulate);
  out.dispose();
  parts.dispose();
}

function launch(device: Device, options: Product, shape: ProductShape, choice: Choice): void {
  const { a, b, bias, out, accumulate = false, activation } = options;
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
  const flags = {
    TRANSPOSE_B: transposeB,
    BIAS: Boolean(bias),
    ACTIVATION: activation ? activationNumber(activation) : 0,
    ADD: accumulate,
  };
  const z = Math.min(batch, MOST_MATRICES);
  switch (choice.kernel) {
    case "quads": {
      const knobs = { ...flags, TRANSPOSE_A: transposeA, ...choice.knobs };
      device.dispatch(quadsKernel, "forward", buffers, params, [directTiles(shape, choice.knobs), 1, z], knobs);
      return;
    }
    case "direct": {
      const vectors = readsVectors(shape);
      const words = {
        ELEMENTS_A: !vectors.a,
        ELEMENTS_B: !vectors.b,
        word_a: vectors.a ? "vec4f" : "f32",
        word_b: vectors.b ? "vec4f" : "f32",
        TAIL: K % 4 !== 0,
      };
      const knobs = { ...flags, ...words, TRANSPOSE_A: transposeA, ...choice.knobs };
      device.dispatch(directKernel, "forward", buffers, params, [directTiles(shape, choice.knobs), 1, z], knobs);
      return;
    }
    case "vector": {
      const { WIDTH, SLICES } = choice.knobs;
      const knobs = { ...flags, ROWS: M, LANES: WIDTH * SLICES, ...choice.knobs };
      device.dispatch(vectorKernel, "forward", buffers, params, [Math.ceil(N / (4 * WIDTH)), 1, z], knobs);
      return;
    }
    case "tiled": {
      const { splits } = choice;
      const chunk = Math.ceil(K / splits);
      const matrices = Math.min(batch * splits, MOST_MATRICES);
      const knobs = { ...flags, TRANSPOSE_A: transposeA, ...choice.knobs };
      const tiles = tilesOf(shape, choice.knobs);
      device.dispatch(tiledKernel, "forward", buffers, { ...params, splits, chunk }, [tiles, 1, matrices], knobs);
    }
  }
}

/** Workgroups of the direct kernels, whose invocations make 8 x 4 results. */
function directTiles({ M, N }: ProductShape, { WIDTH, HEIGHT }: DirectKnobs): number {
  return Math.ceil(M / (8 * HEIGHT)) * Math.ceil(N / (4 * WIDTH));
}
