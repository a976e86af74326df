import rotaryKernel from "../../../kernels/attention/rotary.wgsl";
import { record } from "../../autograd/graph.ts";
import type { Device } from "../../gpu/device.ts";
import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { empty, tensor } from "../../tensor/create.ts";
import { show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats } from "../check.ts";

/** Options of rotary position embedding. */
export interface RotaryOptions {
  /**
   * Tokens that went before the first one; default 0. A tensor, [1] or [B] of u32 or f32, is data that a captured step
   * may count up; a number is frozen in captures.
   */
  readonly position?: Tensor | number;
  /** Which elements of a head turn together: 2i and 2i + 1 (RoFormer, GPT-J; the default), or i and i + D/2 (GPT-NeoX, Llama). */
  readonly pairs?: "neighbours" | "halves";
}

/**
 * Frequencies base^(-2i/D) / 2 pi of the pairs of a head, in 2^-32 of a turn a token.
 * @param size head size, D
 * @returns [D / 2] u32
 * @throws ValueError if D is odd
 */
export function rotaryTable(device: Device, size: number, base = 10_000): Tensor<"u32"> {
  if (!(Number.isInteger(size) && size > 0 && size % 2 === 0)) {
    throw new ValueError(
      `rotaryTable: heads of ${size} elements do not divide into pairs; use heads of even size or other positions`,
    );
  }
  if (!(Number.isFinite(base) && base > 1)) {
    throw new ValueError(`rotaryTable: the base is ${base}; use a number above 1, such as 10000`);
  }
  const turns = (i: number) => Math.round((base ** ((-2 * i) / size) / (2 * Math.PI)) * 2 ** 32);
  return tensor(
    device,
    Uint32Array.from({ length: size / 2 }, (_, i) => turns(i)),
  );
}

/**
 * Rotary positions of queries or keys: the score of two tokens then depends on their distance. Su et al. 2021, RoFormer.
 * @param x [B, T, H, D], or [B, H, T, D] with the layout BHTD
 * @param table of `rotaryTable`
 * @returns of the shape of x
 * @throws ShapeError if x has not four axes, or the table is of another head size
 */
export function rotary(
  x: Tensor,
  table: Tensor,
  options: RotaryOptions & { readonly layout?: "BHTD" | "BTHD" } = {},
): Tensor<"f32"> {
  const op = "rotary";
  const { layout = "BTHD" } = options;
  if (x.shape.length !== 4) throw new ShapeError(`${op}: x is ${show(x.shape)} and must have the axes ${layout}`);
  const [batch, second, third, size] = x.shape as readonly [number, number, number, number];
  checkTable(op, table, size);
  const [tokens, heads, width] = layout === "BTHD" ? [second, 1, third * size] : [third, second, size];
  return turn(op, x, table, { batch, tokens, heads, width, turning: width }, options);
}

/**
 * The same for the queries and keys in what one projection to q, k and v left; the values are copied.
 * @param qkv [B, T, (H + 2 Hkv) D], or [B, (H + 2 Hkv) D] for one token of each sequence
 * @param heads H
 * @returns of the shape of qkv
 * @throws ShapeError as `rotary`, or if the columns do not divide into heads
 */
export function rotaryPacked(
  qkv: Tensor,
  heads: number,
  table: Tensor,
  options: RotaryOptions & { readonly keyHeads?: number } = {},
): Tensor<"f32"> {
  const op = "rotaryPacked";
  const { keyHeads = heads } = options;
  const width = qkv.shape.at(-1) as number;
  const size = width / (heads + 2 * keyHeads);
  if ((qkv.shape.length !== 2 && qkv.shape.length !== 3) || !Number.isInteger(size)) {
    throw new ShapeError(
      `${op}: qkv is ${show(qkv.shape)} and must be [B, T, C] or [B, C] with C a multiple of ${heads} + 2 x ${keyHeads} heads`,
    );
  }
  checkTable(op, table, size);
  const [batch, tokens] = qkv.shape.length === 2 ? [qkv.shape[0] as number, 1] : (qkv.shape as [number, number]);
  return turn(op, qkv, table, { batch, tokens, heads: 1, width, turning: (heads + keyHeads) * size }, options);
}

function checkTable(op: string, table: Tensor, size: number): void {
  table.check(op);
  if (table.dtype !== "u32" || 2 * table.size !== size) {
    throw new ShapeError(
      `${op}: the table is for heads of ${2 * table.size} elements and these have ${size}; make it with rotaryTable(device, ${size})`,
    );
  }
}

interface Rows {
  readonly batch: number;
  readonly tokens: number;
  /** Blocks of `tokens` rows of a sequence. */
  readonly heads: number;
  /** Elements of a row, and how many of them turn. */
  readonly width: number;
  readonly turning: number;
}

function turn(op: string, x: Tensor, table: Tensor, rows: Rows, options: RotaryOptions): Tensor<"f32"> {
  checkFloats(op, x);
  const { device } = x;
  const { position = 0, pairs = "neighbours" } = options;
  const data = typeof position === "number" ? null : position;
  data?.check(op);
  if (data && data.size !== 1 && data.size !== rows.batch) {
    throw new ShapeError(
      `${op}: the position is ${show(data.shape)} and must be [1] or [${rows.batch}], the tokens before these`,
    );
  }
  const params = {
    pairs: x.size / 2,
    row: rows.width / 2,
    turning: rows.turning / 2,
    size: table.size,
    tokens: rows.tokens,
    heads: rows.heads,
    step: data && data.size > 1 ? 1 : 0,
    offset: typeof position === "number" ? position : 0,
  };
  const knobs = { HALVES: pairs === "halves", DATA: data !== null, count: data?.dtype === "f32" ? "f32" : "u32" };
  const groups = [Math.ceil(x.size / 128)] as const;
  const y = empty(device, x.shape);
  const counts = data ?? table;
  device.dispatch(rotaryKernel, "forward", { x, turns: table, position: counts, y }, params, groups, knobs);
  record(op, [y], [x], [table, counts], ([dy], _sink, [turns, position]) => {
    if (!dy) return [null];
    const dx = empty(device, dy.shape);
    device.dispatch(rotaryKernel, "backward", { x: dy, turns, position, y: dx }, params, groups, knobs);
    return [dx];
  });
  return y;
}
