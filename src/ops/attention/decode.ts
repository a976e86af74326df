import decodeKernel from "../../../kernels/attention/decode.wgsl";
import type { Device } from "../../gpu/device.ts";
import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { empty, tensor } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";
import {
  cacheSettings,
  checkPosition,
  checkRoom,
  inWords,
  type KeyValueCache,
  launchAppend,
  type Rows,
  wordsOf,
} from "./cache.ts";
import { launchForward } from "./launch.ts";
import { type AttentionOptions, checkSlopes, planOf, type Steps, scaleOf, windowOf } from "./plan.ts";

/** Options of attention over a cache. */
export interface DecodeOptions extends Pick<AttentionOptions, "scale" | "slopes"> {
  /** Tokens that a query sees, itself included; default all that the cache holds. */
  readonly window?: number;
  /** Workgroups that share the keys of one head; default by device and capacity. */
  readonly splits?: number;
}

/** Options of attention that fills a cache with several tokens at once. */
export interface PrefillOptions extends DecodeOptions {
  /** [B] u32: tokens of each sequence in all, those `seen` before included; later ones are padding and stay out of the cache. */
  readonly lengths?: Tensor | null;
}

/** Workgroups that keep a device busy. */
const ENOUGH_GROUPS = { gpu: 128, software: 2 } as const;
/** Keys that a workgroup goes through between two barriers. */
const ROUND = 1024;
/** The least that a split should have. */
const SHARE = 256;

/**
 * Appends the keys and values of one new token of each sequence and attends to them and those before. Without gradient.
 * @param q [B, H, D]
 * @param k [B, Hkv, D]
 * @param v as k
 * @param position [1] or [B], u32 or f32: tokens before this one. Data, so a captured step may count it up
 * @returns [B, H, D]
 * @throws ShapeError naming the tensor that does not fit
 */
export function decodeAttention(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  cache: KeyValueCache,
  position: Tensor,
  options: DecodeOptions = {},
): Tensor<"f32"> {
  const op = "decodeAttention";
  checkFloats(op, q, k, v);
  const { batch, keyHeads, size } = cache;
  const [, heads = 0] = q.shape;
  if (!sameShape(q.shape, [batch, heads, size]))
    throw new ShapeError(`${op}: q is ${show(q.shape)} and must be [${batch}, H, ${size}], as the cache is`);
  for (const [name, x] of [
    ["k", k],
    ["v", v],
  ] as const) {
    if (!sameShape(x.shape, [batch, keyHeads, size]))
      throw new ShapeError(
        `${op}: ${name} is ${show(x.shape)} and must be [${batch}, ${keyHeads}, ${size}], as the cache is`,
      );
  }
  const rows = (x: Tensor, count: number): Rows => ({ tensor: x, steps: [0, count * size, size, 0] });
  const plan = planDecode(op, cache, rows(q, heads), heads, position, options);
  launchAppend(op, cache, rows(k, keyHeads), rows(v, keyHeads), 1, position);
  return launchDecode(plan, empty(q.device, q.shape));
}

/**
 * The same on what one projection to q, k and v left, as in GPT-2.
 * @param qkv [B, (H + 2 Hkv) D]
 * @param heads H
 * @returns [B, H D]
 * @throws ShapeError as `decodeAttention`, or if the columns do not divide into heads
 */
export function decodePacked(
  qkv: Tensor,
  heads: number,
  cache: KeyValueCache,
  position: Tensor,
  options: DecodeOptions = {},
): Tensor<"f32"> {
  const op = "decodePacked";
  checkFloats(op, qkv);
  const { batch, size } = cache;
  const { q, k, v } = packedRows(op, qkv, [batch], heads, cache);
  const plan = planDecode(op, cache, q, heads, position, options);
  launchAppend(op, cache, k, v, 1, position);
  return launchDecode(plan, empty(qkv.device, [batch, heads * size]));
}

/**
 * Appends the keys and values of T tokens, a chunk of a prompt, and attends causally to them and those before.
 * Without gradient.
 * @param qkv [B, T, (H + 2 Hkv) D]
 * @param heads H
 * @param seen tokens before these, a number of the host: a captured function would freeze it
 * @returns [B, T, H D]
 * @throws ValueError if the cache is full
 */
export function prefillPacked(
  qkv: Tensor,
  heads: number,
  cache: KeyValueCache,
  seen: number,
  { lengths = null, ...options }: PrefillOptions = {},
): Tensor<"f32"> {
  const op = "prefillPacked";
  checkFloats(op, qkv);
  const { device } = qkv;
  const { batch, keyHeads, size, capacity, slots, half } = cache;
  const [, rows = 0] = qkv.shape;
  const { q, k, v } = packedRows(op, qkv, [batch, rows], heads, cache);
  checkRoom(op, cache, seen, rows, options.window);
  const keys = Math.min(seen + rows, capacity);
  const width = wordsOf(size) * 4;
  const perHead = capacity * width;
  const perBatch = keyHeads * perHead;
  const places = {
    q: q.steps,
    k: [0, perBatch, perHead, width],
    v: [batch * perBatch, perBatch, perHead, width],
    y: [0, rows * heads * size, size, heads * size],
  } as const;
  const sizes = { batch, heads, keyHeads, queries: rows, keys, size };
  const ring = { slot: (seen + rows - keys) % capacity, capacity };
  const plan = planOf(op, sizes, places, { ...options, causal: true }, { ring, half });
  const position = tensor(device, [seen], [1], "u32");
  launchAppend(op, cache, k, v, rows, position, lengths);
  position.dispose();
  const out = empty(device, [batch, rows, heads * size]);
  const norms = empty(device, [batch, heads, rows, 2]);
  launchForward(plan, { q: qkv, k: slots, v: slots }, out, norms);
  norms.dispose();
  return out;
}

/** The heads of q, k and v in the rows of a projection [..., (H + 2 Hkv) D]. */
function packedRows(
  op: string,
  qkv: Tensor,
  leading: readonly number[],
  heads: number,
  { keyHeads, size }: KeyValueCache,
) {
  const columns = (heads + 2 * keyHeads) * size;
  if (!sameShape(qkv.shape, [...leading, columns])) {
    throw new ShapeError(
      `${op}: qkv is ${show(qkv.shape)} and must be ${show([...leading, columns])} for ${heads} + 2 x ${keyHeads} heads of ${size}`,
    );
  }
  const perBatch = (leading[1] ?? 1) * columns;
  const rows = (head: number): Rows => ({ tensor: qkv, steps: [head * size, perBatch, size, columns] });
  return { q: rows(0), k: rows(heads), v: rows(heads + keyHeads) };
}

/** One token's attention over a cache with everything settled, so that nothing is refused once the cache has changed. */
type DecodePlan = ReturnType<typeof planDecode>;

function planDecode(
  op: string,
  cache: KeyValueCache,
  q: Rows,
  heads: number,
  position: Tensor,
  options: DecodeOptions,
) {
  const { device } = q.tensor;
  const { keyHeads, size, capacity } = cache;
  checkPosition(op, cache, position);
  if (heads < 1 || heads % keyHeads !== 0) {
    throw new ShapeError(
      `${op}: ${heads} query heads do not divide into ${keyHeads} key heads; make the first a multiple of the second`,
    );
  }
  const { window = capacity, slopes = null, splits = splitsFor(device, cache, heads) } = options;
  if (!Number.isInteger(splits) || splits < 1)
    throw new ValueError(`${op}: splits is ${splits} and must be a whole number of 1 or more`);
  if (slopes) checkSlopes(op, slopes, heads);
  const [left] = windowOf(op, { window, causal: true });
  const lanes = Math.max(64, wordsOf(size));
  if (lanes > device.limits.maxComputeInvocationsPerWorkgroup) {
    throw new ValueError(
      `${op}: heads of ${size} elements are too large to decode; they may have ${4 * device.limits.maxComputeInvocationsPerWorkgroup}`,
    );
  }
  const scale = scaleOf(op, options.scale, size);
  return { cache, q, heads, position, slopes, splits, window: left + 1, scale, lanes };
}

/** Attends and gives back `out`, rows of H D elements. */
function launchDecode(plan: DecodePlan, out: Tensor<"f32">): Tensor<"f32"> {
  const { cache, q, heads, position, slopes, splits, window, scale, lanes } = plan;
  const { device } = out;
  const { batch, keyHeads, size } = cache;
  const words = wordsOf(size);
  const steps: Steps = [0, heads * size, size, 0];
  const common = cacheSettings(cache, position);
  const { words: inUnits, knobs: reading } = inWords(size, [q, { tensor: out, steps }]);
  const params = {
    ...common.params,
    heads,
    group: heads / keyHeads,
    window,
    splits,
    scale,
    q_steps: inUnits(q.steps),
    y_steps: inUnits(steps),
  };
  const knobs = {
    ...common.knobs,
    ...reading,
    SLOPES: slopes !== null,
    LANES: lanes,
    ROUND: Math.ceil(ROUND / lanes) * lanes,
  };
  const inputs = { position, q: q.tensor, cache: cache.slots, slopes: slopes ?? q.tensor };
  if (splits === 1) {
    device.dispatch(decodeKernel, "single", { ...inputs, y: out }, params, [1, heads, batch], knobs);
    return out;
  }
  const parts = empty(device, [batch, heads, splits, words * 4]);
  const norms = empty(device, [batch, heads, splits, 2]);
  device.dispatch(decodeKernel, "split", { ...inputs, parts, norms }, params, [splits, heads, batch], knobs);
  device.dispatch(decodeKernel, "merge", { part: parts, norm: norms, y: out }, params, [1, heads, batch], knobs);
  parts.dispose();
  norms.dispose();
  return out;
}

/** As many splits as a device needs to be busy, unless they would have too few keys. */
function splitsFor(device: Device, { batch, capacity }: KeyValueCache, heads: number): number {
  const enough = device.software ? ENOUGH_GROUPS.software : ENOUGH_GROUPS.gpu;
  return Math.max(1, Math.min(Math.ceil(enough / (batch * heads)), Math.floor(capacity / SHARE)));
}
