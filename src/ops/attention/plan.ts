import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats, checkWhole } from "../check.ts";

/** Which kernels compute an attention: tiles in workgroup memory, or, for CPU emulations, each invocation by itself. */
export type Form = "tiled" | "direct";

/** What every form of attention takes: scale, and what a query may see. */
export interface AttentionOptions {
  /** Query i of Tq sees key j of Tk only if j <= i + Tk - Tq: the last query sees every key. */
  readonly causal?: boolean;
  /**
   * Keys that a query sees around its position P = i + Tk - Tq: [left, right] for P - left <= j <= P + right, -1 for
   * no limit. A number n >= 1 stands for [n - 1, n - 1], of which `causal` leaves the last n keys.
   */
  readonly window?: number | readonly [left: number, right: number];
  /** Factor of the scores, applied to q; default D^-1/2. */
  readonly scale?: number;
  /** (B) u32: keys from there on are padding. */
  readonly lengths?: Tensor | null;
  /** (B, Tk) u32: keys of 0 are not seen. */
  readonly keyMask?: Tensor | null;
  /** (H): ALiBi, adds -slope |P - j| to the scores. A constant: it gets no gradient. */
  readonly slopes?: Tensor | null;
  /** (B or 1, H or 1, Tq, Tk): is added to the scores, -Infinity hides a key. Instead of slopes, not with them. */
  readonly bias?: Tensor | null;
  /** Default: by device. */
  readonly form?: Form;
  /** Multiplications of one launch, of which a long attention needs several; default: a fifth of a second's on a slow device. */
  readonly launchWork?: number;
}

/** Where the rows (b, h, t) of an operand start, in elements: first + b batch + h head + t row. */
export type Steps = readonly [first: number, batch: number, head: number, row: number];

export interface Sizes {
  readonly batch: number;
  /** Query heads, H. */
  readonly heads: number;
  readonly keyHeads: number;
  readonly queries: number;
  readonly keys: number;
  /** Head size, D. */
  readonly size: number;
}

/** An attention with everything settled: sizes, what is seen, and where the operands lie. */
export interface Plan extends Sizes {
  readonly left: number;
  readonly right: number;
  readonly scale: number;
  readonly lengths: Tensor | null;
  readonly keyMask: Tensor | null;
  readonly slopes: Tensor | null;
  readonly bias: Tensor | null;
  readonly q: Steps;
  readonly k: Steps;
  readonly v: Steps;
  readonly y: Steps;
  /** Keys and values are the slots of a ring, from `slot` on. */
  readonly ring: { readonly slot: number; readonly capacity: number } | null;
  /** Keys and values are stored as packed halves. */
  readonly half: boolean;
  /** Null: by device. */
  readonly form: Form | null;
  /** Null: by device. */
  readonly launchWork: number | null;
}

/** No limit to a window; sums with positions stay inside i32. */
const UNLIMITED = 0x3fffffff;

/** Settles the options of an attention of these sizes. */
export function planOf(
  op: string,
  sizes: Sizes,
  steps: Pick<Plan, "q" | "k" | "v" | "y">,
  options: AttentionOptions,
  cache: Pick<Plan, "ring" | "half"> = { ring: null, half: false },
): Plan {
  const { heads, keyHeads, batch, queries, keys, size } = sizes;
  if (size === 0) throw new ShapeError(`${op}: the head size is 0; it must be at least 1`);
  if (keyHeads === 0 ? heads > 0 : heads % keyHeads !== 0) {
    throw new ShapeError(
      `${op}: ${heads} query heads do not divide into ${keyHeads} key heads; make the first a multiple of the second`,
    );
  }
  const { lengths = null, keyMask = null, slopes = null, bias = null, launchWork = null } = options;
  if (lengths && keyMask)
    throw new ValueError(`${op}: both lengths and keyMask were given; put the lengths into the mask`);
  if (lengths) checkMask(op, "lengths", lengths, [batch]);
  if (keyMask) checkMask(op, "keyMask", keyMask, [batch, keys]);
  if (slopes && bias) throw new ValueError(`${op}: both slopes and bias were given; add the slopes into the bias`);
  if (slopes) checkSlopes(op, slopes, heads);
  if (bias) checkBias(op, bias, [batch, heads, queries, keys]);
  if (launchWork !== null && !(launchWork > 0))
    throw new ValueError(`${op}: launchWork is ${launchWork}; give a number above 0, or leave it out`);
  const [left, right] = windowOf(op, options);
  return {
    ...sizes,
    ...steps,
    ...cache,
    left,
    right,
    scale: scaleOf(op, options.scale, size),
    lengths,
    keyMask,
    slopes,
    bias,
    form: options.form ?? null,
    launchWork,
  };
}

/** The factor of the scores. */
export function scaleOf(op: string, scale: number | undefined, size: number): number {
  if (scale !== undefined && !Number.isFinite(scale)) {
    throw new ValueError(`${op}: the scale ${scale} is not finite; leave it out for 1 / sqrt(${size})`);
  }
  return scale ?? 1 / Math.sqrt(size);
}

export function checkSlopes(op: string, slopes: Tensor, heads: number): void {
  checkFloats(op, slopes);
  if (!sameShape(slopes.shape, [heads]))
    throw new ShapeError(`${op}: slopes are ${show(slopes.shape)} and must be [${heads}], one a query head`);
  if (slopes.requiresGrad) throw new ValueError(`${op}: slopes get no gradient; detach() them`);
}

function checkBias(op: string, bias: Tensor, shape: readonly [number, number, number, number]): void {
  checkFloats(op, bias);
  const [batch, heads, ...matrix] = shape;
  const [b = 0, h = 0] = bias.shape;
  const fits = (b === batch || b === 1) && (h === heads || h === 1) && sameShape(bias.shape, [b, h, ...matrix]);
  if (!fits)
    throw new ShapeError(
      `${op}: the bias is ${show(bias.shape)} and must be ${show(shape)}, or 1 in place of ${batch} or ${heads} where they share it`,
    );
}

function checkMask(op: string, name: string, mask: Tensor, shape: readonly number[]): void {
  checkWhole(op, mask);
  if (!sameShape(mask.shape, shape))
    throw new ShapeError(`${op}: ${name} is ${show(mask.shape)} and must be ${show(shape)}`);
}

/** How far to the left and right of its position a query sees. */
export function windowOf(op: string, { causal = false, window = [-1, -1] }: AttentionOptions): [number, number] {
  if (typeof window === "number") {
    if (!Number.isInteger(window) || window < 1) {
      throw new ValueError(
        `${op}: a window of ${window} keys shows no key; give a whole number of 1 or more, or leave it out for all`,
      );
    }
    return [Math.min(window - 1, UNLIMITED), causal ? 0 : Math.min(window - 1, UNLIMITED)];
  }
  const [left, right] = window;
  if (!Number.isInteger(left) || !Number.isInteger(right) || left < -1 || right < -1) {
    throw new ValueError(
      `${op}: the window [${left}, ${right}] must hold whole numbers of 0 or more, or -1 for no limit`,
    );
  }
  const limit = (n: number) => (n === -1 ? UNLIMITED : Math.min(n, UNLIMITED));
  return [limit(left), causal ? 0 : limit(right)];
}
