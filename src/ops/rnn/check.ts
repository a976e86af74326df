import { ShapeError, ValueError } from "../../gpu/errors.ts";
import { tensor } from "../../tensor/create.ts";
import { type Shape, sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats, checkWeight, checkWhole } from "../check.ts";
import { checkHalfWeight } from "../half.ts";
import type { Cell } from "./cell.ts";
import type { Sizes } from "./layout.ts";
import { byFour } from "./pack.ts";
import type { Initial, RecurrentOptions, RecurrentWeights } from "./types.ts";

/** Sizes of a layer, once everything fits. @throws ShapeError that says what does not */
export function checkLayer(
  { name, gates }: Cell,
  x: Tensor,
  directions: readonly RecurrentWeights[],
  { h, c, start }: Initial,
  { batchFirst = false, reverse = false }: RecurrentOptions,
): Sizes {
  checkFloats(name, x);
  const layout = batchFirst ? "[B, T, I]" : "[T, B, I]";
  if (x.shape.length !== 3)
    throw new ShapeError(
      `${name}: x is ${show(x.shape)}; it must be ${layout}, add an axis of 1 for a single sequence`,
    );
  const [first, second, input] = x.shape as [number, number, number];
  const [steps, batch] = batchFirst ? [second, first] : [first, second];
  const width = directions[0]?.weightHh.shape[1] ?? 0;
  const columns = gates * width;
  if (width === 0)
    throw new ShapeError(
      `${name}: weightHh is ${show(directions[0]?.weightHh.shape ?? [])}; it must be [${gates} H, H] with H of 1 or more`,
    );
  const check = (what: string, found: Tensor | null | undefined, wanted: Shape, meaning: string): void => {
    if (!found) return;
    (what.startsWith("weight") ? checkWeight : checkFloats)(name, found);
    if (!sameShape(found.shape, wanted))
      throw new ShapeError(`${name}: ${what} is ${show(found.shape)}; it must be ${show(wanted)}, ${meaning}`);
  };
  for (const { weightIh, weightHh, biasIh, biasHh } of directions) {
    for (const weight of [weightIh, weightHh]) checkHalfWeight(name, weight, x, h, c, start, biasIh, biasHh);
    check("weightHh", weightHh, [columns, width], `[${gates} H, H]`);
    check("weightIh", weightIh, [columns, input], `[${gates} H, I] for x ${show(x.shape)} in the layout ${layout}`);
    check("biasIh", biasIh, [columns], `[${gates} H]`);
    check("biasHh", biasHh, [columns], `[${gates} H]`);
  }
  const state = [directions.length, batch, width];
  check("h0", h, state, `[directions, B, H] for x ${show(x.shape)} in the layout ${layout}`);
  check("c0", c, state, `[directions, B, H] for x ${show(x.shape)} in the layout ${layout}`);
  check("start", start, [directions.length, batch, columns], `[directions, B, ${gates} H]`);
  return {
    steps,
    batch,
    input,
    width,
    inner: byFour(width),
    directions: directions.length,
    rows: steps * batch,
    reversed: directions.length === 2 ? 0b10 : Number(reverse),
    time: batchFirst ? 1 : batch,
    sample: batchFirst ? steps : 1,
  };
}

/** Lengths on the device, and the tensor to dispose if they had to be brought there. */
export interface Lengths {
  readonly tensor: Tensor | null;
  readonly made?: Tensor | null;
}

/** @throws ShapeError or ValueError if they are not one number from 0 to T a batch entry; on the device the values are not looked at */
export function lengthsOf(
  { name }: Cell,
  x: Tensor,
  lengths: RecurrentOptions["lengths"],
  { steps, batch }: Sizes,
): Lengths {
  if (!lengths) return { tensor: null };
  const count = "storage" in lengths ? lengths.size : lengths.length;
  if (count !== batch)
    throw new ShapeError(`${name}: there are ${count} lengths for a batch of ${batch}; give one for each entry`);
  if ("storage" in lengths) {
    checkWhole(name, lengths);
    return { tensor: lengths };
  }
  const wrong = lengths.find((n) => !Number.isInteger(n) || n < 0 || n > steps);
  if (wrong !== undefined)
    throw new ValueError(`${name}: a length is ${wrong}; lengths are whole numbers from 0 to ${steps}, the steps of x`);
  const made = tensor(x.device, new Int32Array(lengths));
  return { tensor: made, made };
}
