import biasKernel from "../../../kernels/attention/backward_bias.wgsl";
import keysKernel from "../../../kernels/attention/backward_keys.wgsl";
import queriesKernel from "../../../kernels/attention/backward_queries.wgsl";
import directKernel from "../../../kernels/attention/direct.wgsl";
import directKeysKernel from "../../../kernels/attention/direct_keys.wgsl";
import directQueriesKernel from "../../../kernels/attention/direct_queries.wgsl";
import factsKernel from "../../../kernels/attention/facts.wgsl";
import forwardKernel from "../../../kernels/attention/forward.wgsl";
import type { Device } from "../../gpu/device.ts";
import { empty } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Form, Plan, Steps } from "./plan.ts";
import { mostWorkOf, type Slice, slicesOf } from "./slices.ts";
import { tileOf } from "./tiles.ts";

/** What MASK says that the mask holds. */
const MASKS = { none: 0, lengths: 1, keys: 2 } as const;
/** What BIAS says that the bias holds. */
const BIASES = { none: 0, slopes: 1, scores: 2 } as const;
/** Rows that an invocation of the direct kernels takes, and invocations of one of their workgroups. */
const DIRECT_ROWS = 4;
const DIRECT_LANES = 8;
/** Vectors of a row that they sum at most: WGSL warrants 8 KiB of variables, and each vector of keys has two of 64 bytes. */
const DIRECT_VECTORS = 48;

/** Whether rows must be read element by element: vectors of four need every row to start at one. */
function inElements({ size, q, k, v, y }: Plan): boolean {
  return [size, ...q, ...k, ...v, ...y].some((n) => n % 4 !== 0);
}

/** Parameters and knobs that all the kernels have. */
function settings(plan: Plan) {
  const elements = inElements(plan);
  const words = (steps: Steps) => steps.map((n) => (elements ? n : n / 4));
  const { queries, keys, size, left, right, scale } = plan;
  return {
    elements,
    params: {
      queries,
      keys,
      size,
      vectors: Math.ceil(size / 4),
      group: plan.heads / Math.max(plan.keyHeads, 1),
      left,
      right,
      scale,
      tile: 0,
      bias_steps: biasSteps(plan),
      q_steps: words(plan.q),
      k_steps: words(plan.k),
      v_steps: words(plan.v),
      y_steps: words(plan.y),
    },
    knobs: {
      ELEMENTS: elements,
      word: elements ? "f32" : "vec4f",
      ...additions(plan),
    },
  };
}

/** Knobs of what hides keys and what is added to scores. */
export function additions({ lengths, keyMask, slopes, bias }: Plan) {
  return {
    MASK: lengths ? MASKS.lengths : keyMask ? MASKS.keys : MASKS.none,
    BIAS: slopes ? BIASES.slopes : bias ? BIASES.scores : BIASES.none,
  };
}

/** Elements of a bias from batch to batch and from head to head; 0 where they share it. */
export function biasSteps({ bias, queries, keys }: Plan): [batch: number, head: number] {
  const [batches = 1, heads = 1] = bias?.shape ?? [];
  const matrix = queries * keys;
  return [batches === 1 ? 0 : heads * matrix, heads === 1 ? 0 : matrix];
}

/** An emulation's lanes gain nothing from sharing a tile. */
function formOf(plan: Plan, { device }: Tensor): Form {
  return plan.form ?? (device.software ? "direct" : "tiled");
}

/** The mask and the bias or slopes for the kernels; any readable tensor fills the place of one that is not there. */
export function constantsOf({ lengths, keyMask, slopes, bias }: Plan, q: Tensor): [mask: Tensor, bias: Tensor] {
  return [lengths ?? keyMask ?? q, slopes ?? bias ?? q];
}

export interface Operands {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Writes y, and the maximum and the sum (B, H, Tq, 2) of each row of scores. */
export function launchForward(plan: Plan, { q, k, v }: Operands, y: Tensor, norms: Tensor): void {
  const { device } = q;
  const { heads, batch, ring, half } = plan;
  const most = mostWorkOf(plan, device);
  const { elements, params: common, knobs: base } = settings(plan);
  const [mask, bias] = constantsOf(plan, q);
  const buffers = { q, k, v, y, norms, mask, bias };
  const params = { ...common, slot: ring?.slot ?? 0, capacity: ring?.capacity ?? 1 };
  const knobs = { ...base, stored: elements ? "u32" : "vec2u", HALF: half, RING: ring !== null };
  if (formOf(plan, q) === "direct") {
    const { VECTORS, blocks } = directColumns(plan);
    const lanes = { ...knobs, stored: elements || half ? "u32" : "vec4u", LANES: DIRECT_LANES, VECTORS };
    for (const slice of slicesOf(plan, { rows: "queries", height: DIRECT_ROWS * DIRECT_LANES, products: 2 }, most)) {
      const groups = [slice.count, heads, batch * blocks] as const;
      device.dispatch(directKernel, "forward", buffers, backwards(params, slice), groups, lanes);
    }
    return;
  }
  const { WIDTH, HEIGHT, COLUMNS, others } = tileOf(device, "forward", plan.size);
  const tile = { ...knobs, WIDTH, HEIGHT, COLUMNS, KEYS: others };
  for (const slice of slicesOf(plan, { rows: "queries", height: 4 * HEIGHT, products: 2 }, most))
    device.dispatch(forwardKernel, "forward", buffers, backwards(params, slice), [slice.count, heads, batch], tile);
}

/** Into how many blocks of how many vectors the direct kernels cut a row. */
function directColumns({ size }: Plan): { readonly VECTORS: number; readonly blocks: number } {
  const vectors = Math.ceil(size / 4);
  const blocks = Math.ceil(vectors / DIRECT_VECTORS);
  return { VECTORS: Math.ceil(vectors / blocks), blocks };
}

/** Tiles of queries run from the last to the first, because under a causal mask those have the most to do. */
function backwards<P>(params: P, { first, count }: Slice) {
  return { ...params, tile: first + count - 1 };
}

export interface Saved extends Operands {
  readonly y: Tensor;
  /** As `launchForward` left them. */
  readonly norms: Tensor;
  /** As `constantsOf` made them. */
  readonly mask: Tensor;
  readonly bias: Tensor;
}

/** The gradients that come in, and room for those that are wanted. */
export interface Gradients {
  readonly dy: Tensor;
  readonly dlse: Tensor | null;
  /** Laid out as q. */
  readonly dq: Tensor | null;
  /** Holds dk, laid out as k, and from element `dvFirst` on dv, laid out as v. */
  readonly dkv: Tensor | null;
  readonly dvFirst: number;
  /** Of the shape of the bias; written, or added to. */
  readonly dbias?: { readonly grad: Tensor; readonly accumulate: boolean } | null;
}

function backwardTile(device: Device, size: number) {
  const { WIDTH, HEIGHT, COLUMNS, others } = tileOf(device, "backward", size);
  return { WIDTH, HEIGHT, COLUMNS, OTHERS: others };
}

/** Rows and columns that a workgroup of the bias's kernel has. */
const BIAS_ROWS = 32;

/** Writes the gradients of q, of k and v, and of the bias. */
export function launchBackward(plan: Plan, saved: Saved, gradients: Gradients): void {
  const { q, k, v, y, norms, mask, bias } = saved;
  const { dy, dlse, dq, dkv, dvFirst, dbias = null } = gradients;
  const { device } = q;
  const { batch, heads, keyHeads, queries, keys } = plan;
  const most = mostWorkOf(plan, device);
  const { elements, params: common, knobs } = settings(plan);
  const { ELEMENTS, word } = knobs;
  const facts = empty(device, [batch, heads, queries, 4]);
  device.dispatch(
    factsKernel,
    "forward",
    { y, dy, norms, dlse: dlse ?? norms, facts },
    { ...common, batch, heads },
    [Math.ceil((batch * heads * queries) / 64)],
    { ELEMENTS, word, DLSE: dlse !== null },
  );
  const buffers = { q, k, v, dy, mask, bias, row: facts };
  const params = { ...common, heads, dv_first: elements ? dvFirst : dvFirst / 4 };
  const { VECTORS, blocks } = directColumns(plan);
  const lanes = { ...knobs, LANES: DIRECT_LANES, VECTORS };
  const tile = formOf(plan, q) === "direct" ? null : backwardTile(device, plan.size);
  const tiled = tile && { ...knobs, ...tile };
  const height = tile ? 4 * tile.HEIGHT : DIRECT_ROWS * DIRECT_LANES;
  const layers = batch * (tile ? 1 : blocks);
  if (dkv)
    for (const { first, count } of slicesOf(plan, { rows: "keys", height, products: 4 }, most)) {
      const groups = [count, keyHeads, layers] as const;
      const from = { ...params, tile: first };
      if (tiled) device.dispatch(keysKernel, "backward", { ...buffers, dkv }, from, groups, tiled);
      else device.dispatch(directKeysKernel, "backward", { ...buffers, dkv }, from, groups, lanes);
    }
  if (dq)
    for (const slice of slicesOf(plan, { rows: "queries", height, products: 3 }, most)) {
      const groups = [slice.count, heads, layers] as const;
      const from = backwards(params, slice);
      if (tiled) device.dispatch(queriesKernel, "backward", { ...buffers, dq }, from, groups, tiled);
      else device.dispatch(directQueriesKernel, "backward", { ...buffers, dq }, from, groups, lanes);
    }
  if (dbias) {
    const matrices = dbias.grad.shape.slice(0, 2) as [number, number];
    const whole = { ...plan, left: keys + queries, right: keys + queries };
    for (const { first, count } of slicesOf(whole, { rows: "queries", height: BIAS_ROWS, products: 2 }, most))
      device.dispatch(
        biasKernel,
        "backward",
        { ...buffers, dbias: dbias.grad },
        { ...params, batch, matrices, tile: first },
        [Math.ceil(keys / BIAS_ROWS), count, matrices[0] * matrices[1]],
        { ...knobs, ADD: dbias.accumulate },
      );
  }
  facts.dispose();
}
