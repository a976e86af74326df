import binaryKernel from "../../kernels/elementwise/binary.wgsl";
import { type GradSink, record } from "../autograd/graph.ts";
import { ValueError } from "../gpu/errors.ts";
import { empty } from "../tensor/create.ts";
import { broadcastShapes, type Shape, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFloats } from "./check.ts";
import { sumOnto } from "./fold.ts";
import { type KernelWalk, kernelWalk, stridesOnto } from "./strides.ts";
import { affine, reciprocal } from "./unary.ts";

/** Numbers of the functions in kernels/elementwise/binary.wgsl; `saves`: the slopes depend on the operands. */
const functions = {
  add: { op: 0, saves: false },
  sub: { op: 1, saves: false },
  mul: { op: 2, saves: true },
  div: { op: 3, saves: true },
  maximum: { op: 4, saves: true },
  minimum: { op: 5, saves: true },
  pow: { op: 6, saves: true },
} as const;

type Name = keyof typeof functions;

function launchOf(walk: KernelWalk, op: number, constant = 0) {
  const { rank, vector, words, sizes, strides } = walk;
  const [astep = [], bstep = []] = strides;
  const operand = (step: readonly number[]) => (vector && step[3] === 1 ? "vec4f" : "f32");
  return {
    params: { sizes, astep, bstep, words, value: constant },
    groups: [Math.ceil(words / 64)] as const,
    knobs: {
      OP: op,
      RANK: rank,
      elem: vector ? "vec4f" : "f32",
      bits: vector ? "vec4u" : "u32",
      left: operand(astep),
      right: operand(bstep),
    },
  };
}

function binary(name: Name, a: Tensor, b: Tensor): Tensor<"f32"> {
  checkFloats(name, a, b);
  const { device } = a;
  const { op, saves } = functions[name];
  const shape = sameShape(a.shape, b.shape) ? a.shape : broadcastShapes(a.shape, b.shape, name);
  const walk = kernelWalk(shape, [stridesOnto(a.shape, shape), stridesOnto(b.shape, shape)], name);
  const { params, groups, knobs } = launchOf(walk, op);
  const y = empty(device, shape);
  device.dispatch(binaryKernel, "forward", { a, b, y }, params, groups, knobs);
  const [ashape, bshape] = [a.shape, b.shape];
  record<readonly Tensor[]>(name, [y], [a, b], saves ? [a, b] : [], ([dy], sink, saved) => {
    if (!dy) return [null, null];
    const [a, b] = saved;
    if (!a || !b) return [gradient(dy, ashape, sink, 0), gradient(dy, bshape, sink, 1, name === "sub" ? -1 : 1)];
    const da = sink.needs(0) ? empty(device, shape) : null;
    const db = sink.needs(1) ? empty(device, shape) : null;
    if (da && db) device.dispatch(binaryKernel, "backward_both", { a, b, dy, da, db }, params, groups, knobs);
    else {
      const y = da ?? db;
      if (y) device.dispatch(binaryKernel, "backward", { a, b, dy, y }, params, groups, { ...knobs, TO_B: y === db });
    }
    return [da && onto(da, ashape, sink, 0), db && onto(db, bshape, sink, 1)];
  });
  return y;
}

/** dy, negated or not, as the gradient of operand i. */
function gradient(dy: Tensor, shape: Shape, sink: GradSink, i: number, scale = 1): Tensor | null {
  if (!sink.needs(i)) return null;
  return sumOnto(dy, shape, sink.into(i), scale);
}

/** Sums over stretched axes; a parameter takes the sum straight into its gradient. */
function onto(d: Tensor, shape: Shape, sink: GradSink, i: number): Tensor | null {
  return sumOnto(d, shape, sameShape(d.shape, shape) ? null : sink.into(i));
}

/** A function whose second operand is a number. */
function withNumber(name: Name, a: Tensor, value: number): Tensor<"f32"> {
  checkFloats(name, a);
  const { device, shape } = a;
  const strides = stridesOnto(shape, shape);
  const { params, groups, knobs } = launchOf(kernelWalk(shape, [strides, strides], name), functions[name].op, value);
  const y = empty(device, shape);
  device.dispatch(binaryKernel, "forward", { a, b: a, y }, params, groups, { ...knobs, CONSTANT: true });
  record(name, [y], [a], [a], ([dy], _sink, [a]) => {
    if (!dy) return [null];
    const da = empty(device, shape);
    device.dispatch(binaryKernel, "backward", { a, b: a, dy, y: da }, params, groups, { ...knobs, CONSTANT: true });
    return [da];
  });
  return y;
}

/** A tensor or a number; numbers are frozen in captured functions. */
export type Operand = Tensor | number;

function fail(name: Name): never {
  throw new ValueError(`${name}: both operands are numbers; make one of them a tensor`);
}

/**
 * a + b of any shapes that broadcast as in NumPy.
 * @throws ShapeError if the shapes do not broadcast, ValueError for two numbers
 */
export function add(a: Operand, b: Operand): Tensor<"f32"> {
  if (typeof a === "number") return typeof b === "number" ? fail("add") : affine(b, 1, a);
  return typeof b === "number" ? affine(a, 1, b) : binary("add", a, b);
}

/**
 * a - b of any shapes that broadcast as in NumPy.
 * @throws ShapeError if the shapes do not broadcast, ValueError for two numbers
 */
export function sub(a: Operand, b: Operand): Tensor<"f32"> {
  if (typeof a === "number") return typeof b === "number" ? fail("sub") : affine(b, -1, a);
  return typeof b === "number" ? affine(a, 1, -b) : binary("sub", a, b);
}

/**
 * a * b of any shapes that broadcast as in NumPy.
 * @throws ShapeError if the shapes do not broadcast, ValueError for two numbers
 */
export function mul(a: Operand, b: Operand): Tensor<"f32"> {
  if (typeof a === "number") return typeof b === "number" ? fail("mul") : affine(b, a);
  return typeof b === "number" ? affine(a, b) : binary("mul", a, b);
}

/**
 * a / b of any shapes that broadcast as in NumPy.
 * @throws ShapeError if the shapes do not broadcast, ValueError for two numbers
 */
export function div(a: Operand, b: Operand): Tensor<"f32"> {
  if (typeof b === "number") return typeof a === "number" ? fail("div") : affine(a, 1 / b);
  return typeof a === "number" ? mul(a, reciprocal(b)) : binary("div", a, b);
}

/**
 * The larger of a and b, of any shapes that broadcast as in NumPy; a NaN of either stays. Each gets half of the gradient where they are equal.
 * @throws ShapeError if the shapes do not broadcast, ValueError for two numbers
 */
export function maximum(a: Operand, b: Operand): Tensor<"f32"> {
  if (typeof a === "number") return typeof b === "number" ? fail("maximum") : withNumber("maximum", b, a);
  return typeof b === "number" ? withNumber("maximum", a, b) : binary("maximum", a, b);
}

/**
 * The smaller of a and b, of any shapes that broadcast; otherwise as `maximum`.
 * @throws as `maximum`
 */
export function minimum(a: Operand, b: Operand): Tensor<"f32"> {
  if (typeof a === "number") return typeof b === "number" ? fail("minimum") : withNumber("minimum", b, a);
  return typeof b === "number" ? withNumber("minimum", a, b) : binary("minimum", a, b);
}

/**
 * a to the power of b, of any shapes that broadcast as in NumPy; NaN for a negative base with a fractional exponent. Finite: 0 to a negative power is 3.4e38.
 * No gradient flows to the exponent where the base is 0 or less.
 */
export function pow(a: Tensor, b: Operand): Tensor<"f32"> {
  return typeof b === "number" ? withNumber("pow", a, b) : binary("pow", a, b);
}
