import { add, div, maximum, minimum, mul, pow, sub } from "../../ops/binary.ts";
import { cast } from "../../ops/cast.ts";
import { countNonFinite } from "../../ops/finite.ts";
import {
  abs,
  affine,
  exp,
  gelu,
  geluTanh,
  log,
  logSigmoid,
  neg,
  reciprocal,
  relu,
  reluSquared,
  sigmoid,
  silu,
  softplus,
  sqrt,
  square,
  tanh,
} from "../../ops/unary.ts";
import { less, where } from "../../ops/where.ts";
import { full, tensor } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Check, differentiated, forwardOnly, joined } from "../check.ts";
import { broadcast, numbers, type Ref, ref } from "../reference.ts";

const logistic = (x: number) => 1 / (1 + Math.exp(-x));
/** The normal distribution function, by the series of the error function (Abramowitz and Stegun 7.1.6). */
function phi(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; n < 60; n++) {
    term *= (x * x) / (2 * n + 1);
    sum += term;
  }
  return 0.5 + (sum * Math.exp((-x * x) / 2)) / Math.sqrt(2 * Math.PI);
}

type Pair = readonly [op: (x: Tensor) => Tensor<"f32">, f: (x: number) => number];

const smooth: readonly Pair[] = [
  [tanh, Math.tanh],
  [sigmoid, logistic],
  [silu, (x) => x * logistic(x)],
  [gelu, (x) => x * phi(x)],
  [geluTanh, (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))],
  [softplus, (x) => Math.log1p(Math.exp(x))],
  [logSigmoid, (x) => -Math.log1p(Math.exp(-x))],
  [relu, (x) => Math.max(x, 0)],
  [reluSquared, (x) => Math.max(x, 0) ** 2],
  [abs, Math.abs],
  [neg, (x) => -x],
  [square, (x) => x * x],
  [exp, Math.exp],
  [(x) => affine(x, 3, -1), (x) => 3 * x - 1],
];
const positive: readonly Pair[] = [
  [log, Math.log],
  [sqrt, Math.sqrt],
  [reciprocal, (x) => 1 / x],
];

const each = (pairs: readonly Pair[], inputs: readonly Ref[], name: string): Check =>
  differentiated(
    name,
    inputs,
    () => (x) => joined(...pairs.map(([op]) => op(x as Tensor))),
    (x) =>
      ref(
        [pairs.length * x!.data.length],
        pairs.flatMap(([, f]) => [...x!.data].map(f)),
      ),
  );

const operands = [numbers([5, 1, 7], -2, 2, 1), numbers([3, 7], 0.5, 2, 2)];

export const elementwise: readonly Check[] = [
  each(smooth, [numbers([33], -4, 4, 3)], "activations"),
  each(positive, [numbers([33], 0.2, 4, 4)], "log, sqrt, reciprocal"),
  differentiated(
    "add, sub, mul, div",
    operands,
    () => (a, b) => joined(add(a!, b!), sub(a!, b!), mul(a!, b!), div(a!, b!)),
    (a, b) => {
      const parts = [
        (x: number, y: number) => x + y,
        (x: number, y: number) => x - y,
        (x: number, y: number) => x * y,
        (x: number, y: number) => x / y,
      ];
      const all = parts.flatMap((f) => [...broadcast(f as never, a!, b!).data]);
      return ref([all.length], all);
    },
  ),
  differentiated(
    "maximum, minimum, pow",
    [numbers([5, 1, 7], 0.2, 3, 5), operands[1] as Ref],
    () => (a, b) => joined(maximum(a!, b!), minimum(a!, b!), pow(a!, b!)),
    (a, b) => {
      const all = [Math.max, Math.min, Math.pow].flatMap((f) => [...broadcast(f as never, a!, b!).data]);
      return ref([all.length], all);
    },
  ),
  differentiated(
    "where, less",
    operands,
    () => (a, b) => where(less(a!, b!), a!, b!),
    (a, b) => broadcast((x, y) => Math.min(x!, y!), a!, b!),
  ),
  forwardOnly(
    "cast, fill",
    [numbers([65], -99, 99, 6)],
    (device) => (x) => joined(cast(cast(x!, "i32"), "f32"), full(device, [9], 2.5)),
    (x) => ref([74], [...[...x!.data].map(Math.trunc), ...Array(9).fill(2.5)]),
  ),
  forwardOnly(
    "count of non-finite values",
    [numbers([257], -1, 1, 7)],
    (device) => (x) => {
      const spoilt = tensor(device, [Number.NaN, 1, Number.POSITIVE_INFINITY, -0, Number.NEGATIVE_INFINITY]);
      return joined(cast(countNonFinite(x!), "f32"), cast(countNonFinite(spoilt), "f32"));
    },
    () => ref([2], [0, 3]),
  ),
];
