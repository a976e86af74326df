import keysKernel from "../../../kernels/attention/backward_keys.wgsl";
import queriesKernel from "../../../kernels/attention/backward_queries.wgsl";
import directKernel from "../../../kernels/attention/direct.wgsl";
import directKeysKernel from "../../../kernels/attention/direct_keys.wgsl";
import directQueriesKernel from "../../../kernels/attention/direct_queries.wgsl";
import factsKernel from "../../../kernels/attention/facts.wgsl";
import forwardKernel from "../../../kernels/attention/forward.wgsl";
import { empty } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Form, Plan, Steps } from "./plan.ts";
import { tileOf } from "./tiles.ts";

/** What MASK says that the mask holds. */
export const MASKS = { none: 0, lengths: 1, keys: 2 } as const;
/** Rows that an invocation of the direct kernels takes, and invocations of one of their workgroups. */
const DIRECT_ROWS = 4;
const DIRECT_LANES = 8;

/** Whether rows must be read element by element: vectors of four need every row to start at one. */
function inElements({ size, q, k, v, y }: Plan): boolean {
  return [size, ...q, ...k, ...v, ...y].some((n) => n % 4 !== 0);
}

/** Parameters and knobs that all the kernels have. */
function settings(plan: Plan) {
  const elements = inElements(plan);
  const words = (steps: Steps) => steps.map((n) => (elements ? n : n / 4));
  const { queries, keys, size, left, right, scale, lengths, keyMask, slopes } = plan;
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
      q_steps: words(plan.q),
      k_steps: words(plan.k),
      v_steps: words(plan.v),
      y_steps: words(plan.y),
    },
    knobs: {
      ELEMENTS: elements,
      word: elements ? "f32" : "vec4f",
      MASK: lengths ? MASKS.lengths : keyMask ? MASKS.keys : MASKS.none,
      SLOPES: slopes !== null,
    },
  };
}

/** An emulation's lanes gain nothing from sharing a tile. */
function formOf(plan: Plan, { device }: Tensor): Form {
  return plan.form ?? (device.software ? "direct" : "tiled");
}

/** The mask and the slopes for the kernels; any readable tensor fills the place of one that is not there. */
export function constantsOf({ lengths, keyMask, slopes }: Plan, q: Tensor): [mask: Tensor, slopes: Tensor] {
  return [lengths ?? keyMask ?? q, slopes ?? q];
}

export interface Operands {
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
}

/** Writes y, and the maximum and the sum (B, H, Tq, 2) of each row of scores. */
export function launchForward(plan: Plan, { q, k, v }: Operands, y: Tensor, norms: Tensor): void {
  const { device } = q;
  const { heads, batch, queries, ring, half } = plan;
  const { elements, params: common, knobs: base } = settings(plan);
  const [mask, slopes] = constantsOf(plan, q);
  const buffers = { q, k, v, y, norms, mask, slopes };
  const params = { ...common, slot: ring?.slot ?? 0, capacity: ring?.capacity ?? 1 };
  const knobs = { ...base, stored: elements ? "u32" : "vec2u", HALF: half, RING: ring !== null };
  if (formOf(plan, q) === "direct") {
    const groups = [Math.ceil(queries / (DIRECT_ROWS * DIRECT_LANES)), heads, batch] as const;
    device.dispatch(directKernel, "forward", buffers, params, groups, { ...knobs, LANES: DIRECT_LANES });
    return;
  }
  const { WIDTH, HEIGHT, COLUMNS, others } = tileOf(device, "forward", plan.size);
  const groups = [Math.ceil(queries / (4 * HEIGHT)), heads, batch] as const;
  device.dispatch(forwardKernel, "forward", buffers, params, groups, {
    ...knobs,
    WIDTH,
    HEIGHT,
    COLUMNS,
    KEYS: others,
  });
}

export interface Saved extends Operands {
  readonly y: Tensor;
  /** As `launchForward` left them. */
  readonly norms: Tensor;
  /** As `constantsOf` made them. */
  readonly mask: Tensor;
  readonly slopes: Tensor;
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
}

/** Writes the gradients of q, and of k and v. */
export function launchBackward(plan: Plan, saved: Saved, { dy, dlse, dq, dkv, dvFirst }: Gradients): void {
  const { q, k, v, y, norms, mask, slopes } = saved;
  const { device } = q;
  const { batch, heads, keyHeads, queries, keys } = plan;
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
  const buffers = { q, k, v, dy, mask, slopes, row: facts };
  const params = { ...common, heads, dv_first: elements ? dvFirst : dvFirst / 4 };
  if (formOf(plan, q) === "direct") {
    const tiles = (count: number) => Math.ceil(count / (DIRECT_ROWS * DIRECT_LANES));
    const lanes = { ...knobs, LANES: DIRECT_LANES };
    if (dkv)
      device.dispatch(directKeysKernel, "backward", { ...buffers, dkv }, params, [tiles(keys), keyHeads, batch], lanes);
    if (dq)
      device.dispatch(
        directQueriesKernel,
        "backward",
        { ...buffers, dq },
        params,
        [tiles(queries), heads, batch],
        lanes,
      );
  } else {
    const { WIDTH, HEIGHT, COLUMNS, others } = tileOf(device, "backward", plan.size);
    const tiles = (count: number) => Math.ceil(count / (4 * HEIGHT));
    const tile = { ...knobs, WIDTH, HEIGHT, COLUMNS, OTHERS: others };
    if (dkv) device.dispatch(keysKernel, "backward", { ...buffers, dkv }, params, [tiles(keys), keyHeads, batch], tile);
    if (dq)
      device.dispatch(queriesKernel, "backward", { ...buffers, dq }, params, [tiles(queries), heads, batch], tile);
  }
  facts.dispose();
}
