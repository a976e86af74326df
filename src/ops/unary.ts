import unaryKernel from "../../kernels/elementwise/unary.wgsl";
import { record } from "../autograd/graph.ts";
import { empty } from "../tensor/create.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkFloats } from "./check.ts";

/** Numbers of the functions in kernels/elementwise/unary.wgsl; `y` marks those whose slope is read off the result. */
const functions = {
  affine: { op: 0, reads: "x" },
  exp: { op: 1, reads: "y" },
  log: { op: 2, reads: "x" },
  sqrt: { op: 3, reads: "x" },
  abs: { op: 4, reads: "x" },
  square: { op: 5, reads: "x" },
  tanh: { op: 6, reads: "y" },
  sigmoid: { op: 7, reads: "y" },
  relu: { op: 8, reads: "x" },
  reluSquared: { op: 9, reads: "x" },
  gelu: { op: 10, reads: "x" },
  geluTanh: { op: 11, reads: "x" },
  silu: { op: 12, reads: "x" },
  softplus: { op: 13, reads: "x" },
  logSigmoid: { op: 14, reads: "x" },
  reciprocal: { op: 15, reads: "x" },
} as const;

/** Activations that a layer can name. */
export type Activation = Exclude<keyof typeof functions, "affine">;

/** Number of an activation in kernels that apply one. */
export function activationNumber(activation: Activation): number {
  return functions[activation].op;
}

/**
 * dy f'(x), of any shape.
 * @param from what the slope is read off: x, or where it can be told from it f(x), as for tanh, sigmoid and relu
 */
export function slopeTimes(
  name: keyof typeof functions,
  from: Tensor,
  dy: Tensor,
  scale = 1,
  shift = 0,
): Tensor<"f32"> {
  const { device, shape, size } = from;
  const words = Math.ceil(size / 4);
  const dx = empty(device, shape);
  const buffers = { x: from, dy, y: dx };
  const knobs = { OP: functions[name].op };
  device.dispatch(unaryKernel, "backward", buffers, { words, scale, shift }, [Math.ceil(words / 64)], knobs);
  return dx;
}

function unary(name: keyof typeof functions, x: Tensor, scale = 1, shift = 0): Tensor<"f32"> {
  checkFloats(name, x);
  const { op, reads } = functions[name];
  const words = Math.ceil(x.size / 4);
  const y = empty(x.device, x.shape);
  x.device.dispatch(unaryKernel, "forward", { x, y }, { words, scale, shift }, [Math.ceil(words / 64)], { OP: op });
  record(name, [y], [x], [reads === "x" ? x : y], ([dy], _sink, [from]) => [
    dy ? slopeTimes(name, from, dy, scale, shift) : null,
  ]);
  return y;
}

/** scale * x + shift with numbers, x of any shape; in a captured function they are frozen. */
export const affine = (x: Tensor, scale: number, shift = 0): Tensor<"f32"> => unary("affine", x, scale, shift);
/** -x, of any shape. */
export const neg = (x: Tensor): Tensor<"f32"> => unary("affine", x, -1, 0);
/** e^x, of any shape; finite for every finite x (3.3e38 above 88.7, 0 below -87). */
export const exp = (x: Tensor): Tensor<"f32"> => unary("exp", x);
/** Natural logarithm, of any shape; arguments below the smallest normal number, 1.2e-38, count as that. */
export const log = (x: Tensor): Tensor<"f32"> => unary("log", x);
/** Square root, of any shape; negative arguments count as 0. */
export const sqrt = (x: Tensor): Tensor<"f32"> => unary("sqrt", x);
/** Absolute value, of any shape; slope 0 at 0. */
export const abs = (x: Tensor): Tensor<"f32"> => unary("abs", x);
/** x^2, of any shape. */
export const square = (x: Tensor): Tensor<"f32"> => unary("square", x);
/** 1 / x, of any shape. */
export const reciprocal = (x: Tensor): Tensor<"f32"> => unary("reciprocal", x);
/** Hyperbolic tangent, of any shape. */
export const tanh = (x: Tensor): Tensor<"f32"> => unary("tanh", x);
/** 1 / (1 + e^-x), of any shape. */
export const sigmoid = (x: Tensor): Tensor<"f32"> => unary("sigmoid", x);
/** max(x, 0), of any shape; slope 0 at 0. */
export const relu = (x: Tensor): Tensor<"f32"> => unary("relu", x);
/** relu(x)^2, as in RWKV's channel mix, of any shape. */
export const reluSquared = (x: Tensor): Tensor<"f32"> => unary("reluSquared", x);
/** x Phi(x), the exact form of GELU, of any shape. Hendrycks and Gimpel 2016. */
export const gelu = (x: Tensor): Tensor<"f32"> => unary("gelu", x);
/** GELU by the tanh approximation of GPT-2, of any shape. */
export const geluTanh = (x: Tensor): Tensor<"f32"> => unary("geluTanh", x);
/** x sigmoid(x), also called swish, of any shape. */
export const silu = (x: Tensor): Tensor<"f32"> => unary("silu", x);
/** log(1 + e^x), of any shape; the identity above 20, as in PyTorch. */
export const softplus = (x: Tensor): Tensor<"f32"> => unary("softplus", x);
/** log(sigmoid(x)) without cancellation, of any shape. */
export const logSigmoid = (x: Tensor): Tensor<"f32"> => unary("logSigmoid", x);

/** Applies an activation by name, to any shape. */
export function activate(x: Tensor, activation: Activation): Tensor<"f32"> {
  return unary(activation, x);
}
