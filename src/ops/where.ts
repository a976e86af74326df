import selectKernel from "../../kernels/elementwise/select.wgsl";
import { record } from "../autograd/graph.ts";
import { ValueError } from "../gpu/errors.ts";
import { empty, full } from "../tensor/create.ts";
import { broadcastShapes, type Shape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Operand } from "./binary.ts";
import { checkFloats, checkWhole } from "./check.ts";
import { expand } from "./expand.ts";

/** Runs `fn` on operands stretched to one shape; copies made for that go afterwards. */
function stretched<R>(operands: readonly Tensor[], shape: Shape, fn: (...same: Tensor[]) => R): R {
  const same = operands.map((x) => (sameShape(x.shape, shape) ? x : expand(x, shape)));
  const result = fn(...same);
  same.forEach((x, i) => {
    if (x !== operands[i]) x.dispose();
  });
  return result;
}

/** A number as a scalar tensor. */
function operand(x: Operand, beside: Tensor): { readonly value: Tensor; readonly made: boolean } {
  return typeof x === "number" ? { value: full(beside.device, [], x), made: true } : { value: x, made: false };
}

/**
 * Takes a where the mask is not 0 and b elsewhere, of any shapes; NumPy broadcasting of all three. The value that is not taken may be
 * NaN or infinite, and its gradient is 0.
 * @param mask u32 or i32
 * @throws ShapeError if the shapes do not broadcast, or the mask holds no whole numbers
 */
export function where(mask: Tensor, a: Operand, b: Operand): Tensor<"f32"> {
  checkWhole("where", mask);
  const [left, right] = [operand(a, mask), operand(b, mask)];
  checkFloats("where", left.value, right.value);
  const shape = broadcastShapes(mask.shape, broadcastShapes(left.value.shape, right.value.shape, "where"), "where");
  const y = stretched([mask, left.value, right.value], shape, (mask, a, b) =>
    choose(mask as Tensor, a as Tensor, b as Tensor),
  );
  if (left.made) left.value.dispose();
  if (right.made) right.value.dispose();
  return y;
}

function choose(mask: Tensor, a: Tensor, b: Tensor): Tensor<"f32"> {
  const { device, shape } = mask;
  const y = empty(device, shape);
  const words = Math.ceil(y.size / 4);
  const groups = [Math.ceil(words / 64)] as const;
  device.dispatch(selectKernel, "choose", { mask, a, b, y }, { words }, groups);
  record("where", [y], [a, b], [mask], ([dy], _sink, [mask]) => {
    if (!dy) return [null, null];
    const [da, db] = [empty(device, shape), empty(device, shape)];
    device.dispatch(selectKernel, "choose_backward", { mask, dy, da, db }, { words }, groups);
    return [da, db];
  });
  return y;
}

function compare(name: string, op: number, a: Operand, b: Operand): Tensor<"u32"> {
  const beside = typeof a === "number" ? b : a;
  if (typeof beside === "number") throw new ValueError(`${name}: both operands are numbers; make one of them a tensor`);
  const [left, right] = [operand(a, beside), operand(b, beside)];
  checkFloats(name, left.value, right.value);
  const shape = broadcastShapes(left.value.shape, right.value.shape, name);
  const result = stretched([left.value, right.value], shape, (a, b) => {
    const result = empty(beside.device, shape, "u32");
    const words = Math.ceil(result.size / 4);
    beside.device.dispatch(
      selectKernel,
      "compare",
      { a: a as Tensor, b: b as Tensor, result },
      { words },
      [Math.ceil(words / 64)],
      { OP: op },
    );
    return result;
  });
  if (left.made) left.value.dispose();
  if (right.made) right.value.dispose();
  return result;
}

/** 1 where a < b, else 0; any shapes that broadcast as in NumPy. */
export const less = (a: Operand, b: Operand): Tensor<"u32"> => compare("less", 0, a, b);
/** 1 where a > b, else 0; any shapes that broadcast as in NumPy. */
export const greater = (a: Operand, b: Operand): Tensor<"u32"> => compare("greater", 1, a, b);
/** 1 where a equals b, else 0; any shapes that broadcast as in NumPy. */
export const equal = (a: Operand, b: Operand): Tensor<"u32"> => compare("equal", 2, a, b);
