import { addLayerNorm } from "../../ops/addLayerNorm.ts";
import { crossEntropy } from "../../ops/crossEntropy.ts";
import { embedding } from "../../ops/embedding.ts";
import { toFull, toHalf } from "../../ops/half.ts";
import { linear } from "../../ops/linear.ts";
import { matmul } from "../../ops/matmul.ts";
import { groupNorm, layerNorm, rmsNorm } from "../../ops/norm.ts";
import { logSoftmax, softmax } from "../../ops/softmax.ts";
import { tensor } from "../../tensor/create.ts";
import { type Check, differentiated, forwardOnly, joined } from "../check.ts";
import { broadcast, numbers, type Ref, ref } from "../reference.ts";
import { normRef } from "../references/norm.ts";

/** a [batch, M, K] times b [K, N], or b [N, K] transposed. */
function product(a: Ref, b: Ref, transposed = false): Ref {
  const K = a.shape.at(-1) as number;
  const N = b.data.length / K;
  return ref([...a.shape.slice(0, -1), N], (i) => {
    const [row, column] = [Math.floor(i / N), i % N];
    let sum = 0;
    for (let k = 0; k < K; k++) sum += a.data[row * K + k]! * b.data[transposed ? column * K + k : k * N + column]!;
    return sum;
  });
}

/** Numbers that halves hold exactly. */
const halves = (shape: readonly number[], seed: number): Ref =>
  ref(
    shape,
    numbers(shape, -2, 2, seed).data.map((x) => Math.round(64 * x) / 64),
  );

const gelu = (x: number) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

const softmaxRef = (x: Ref): Ref => {
  const C = x.shape.at(-1) as number;
  const powers = [...x.data].map(Math.exp);
  return ref(x.shape, (i) => {
    const first = i - (i % C);
    return powers[i]! / powers.slice(first, first + C).reduce((sum, p) => sum + p, 0);
  });
};

/** Rows and columns of a matrix swapped. */
const turn = (x: Ref): Ref => {
  const [rows = 0, columns = 0] = x.shape;
  return ref([columns, rows], (i) => x.data[(i % rows) * columns + Math.floor(i / rows)]!);
};

const targets = [3, 0, -100, 16, 5];
/** Every class also gets this share of the target's probability, divided by their number. */
const SMOOTHING = 0.1;

function lossRef(logits: Ref): Ref {
  const p = softmaxRef(logits);
  const C = logits.shape[1]!;
  const rows = targets.flatMap((target, row) => {
    if (target < 0) return [];
    const logs = [...p.data.subarray(row * C, (row + 1) * C)].map(Math.log);
    return [-(1 - SMOOTHING) * logs[target]! - (SMOOTHING * logs.reduce((a, b) => a + b, 0)) / C];
  });
  return ref([], [rows.reduce((a, b) => a + b, 0) / rows.length]);
}

const ids = [2, 0, 6, 2, 2, 5];
const EPS = 1e-5;
const ROW = 33;
const affinePair = [numbers([ROW], 0.5, 2, 2), numbers([ROW], -1, 1, 3)];

export const products: readonly Check[] = [
  differentiated(
    "matmul",
    [numbers([2, 17, 33], -1, 1, 1), numbers([33, 9], -1, 1, 2)],
    () => (a, b) => matmul(a!, b!),
    (a, b) => product(a!, b!),
  ),
  differentiated(
    "matmul, large",
    // So many products to a sum that a GPU adds them up in parts.
    [numbers([67, 261], -1, 1, 1), numbers([261, 65], -1, 1, 2)],
    () => (a, b) => matmul(a!, b!),
    (a, b) => product(a!, b!),
    { samples: 2 },
  ),
  forwardOnly(
    "matrix times few rows",
    [numbers([2, 68], -1, 1, 1), numbers([68, 36], -1, 1, 2), numbers([36, 68], -1, 1, 3)],
    () => (a, b, c) => joined(matmul(a!, b!), matmul(a!, c!, { transposeB: true })),
    (a, b, c) => ref([144], [...product(a!, b!).data, ...product(a!, c!, true).data]),
  ),
  forwardOnly(
    "weights stored as halves",
    [halves([36, 68], 4), numbers([3, 68], -1, 1, 5)],
    (device) => (w, x) => {
      const packed = toHalf(w!);
      const rows = embedding(packed, tensor(device, ids, [ids.length], "u32"));
      return joined(toFull(packed), linear(x!, packed), rows);
    },
    (w, x) => {
      const rows = ids.flatMap((id) => [...w!.data.subarray(id * 68, (id + 1) * 68)]);
      const all = [...w!.data, ...product(x!, w!, true).data, ...rows];
      return ref([all.length], all);
    },
  ),
  differentiated(
    "linear with bias and GELU",
    [numbers([7, 17], -1, 1, 1), numbers([9, 17], -1, 1, 2), numbers([9], -1, 1, 3)],
    () => (x, w, b) => linear(x!, w!, b!, { activation: "geluTanh" }),
    (x, w, b) => broadcast((y, b) => gelu(y! + b!), product(x!, w!, true), b!),
  ),
  // A table for one launch of the gradient, and one for three, with ids that go on through several stretches of their order.
  ...[
    { rows: 7, ids },
    { rows: 101, ids: Array.from({ length: 50 }, (_, n) => (n % 3 === 0 ? 4 : 1)) },
  ].map(({ rows, ids }) =>
    differentiated(
      `embedding, ${rows} rows`,
      [numbers([rows, 5], -1, 1, 1)],
      (device) => (w) => embedding(w!, tensor(device, ids, [2, ids.length / 2], "u32")),
      (w) =>
        ref(
          [2, ids.length / 2, 5],
          ids.flatMap((id) => [...w!.data.subarray(id * 5, id * 5 + 5)]),
        ),
    ),
  ),
  // Rows that divide into words of four, and rows that do not.
  ...[17, 20].map((classes) =>
    differentiated(
      `cross-entropy, ${classes} classes`,
      [numbers([targets.length, classes], -3, 3, 1)],
      (device) => (x) =>
        crossEntropy(x!, tensor(device, targets, [targets.length], "i32"), { labelSmoothing: SMOOTHING }),
      (x) => lossRef(x!),
    ),
  ),
  differentiated(
    "softmax, logSoftmax",
    [numbers([5, ROW], -3, 3, 1)],
    () => (x) => joined(softmax(x!), logSoftmax(x!)),
    (x) => {
      const p = [...softmaxRef(x!).data];
      return ref([2 * p.length], [...p, ...p.map(Math.log)]);
    },
  ),
  differentiated(
    "softmax along columns",
    [numbers([5, ROW], -3, 3, 1)],
    () => (x) => softmax(x!, 0),
    (x) => turn(softmaxRef(turn(x!))),
  ),
  differentiated(
    "layerNorm",
    [numbers([7, ROW], -3, 5, 1), ...affinePair],
    () => (x, w, b) => layerNorm(x!, w!, b!),
    (x, w, b) => normRef(x!, 1, ROW, EPS, true, w, b),
  ),
  differentiated(
    "layerNorm, its weight and bias fixed",
    [numbers([7, ROW], -3, 5, 1), ...affinePair],
    () => (x, w, b) => layerNorm(x!, w!, b!),
    (x, w, b) => normRef(x!, 1, ROW, EPS, true, w, b),
    { constant: [1, 2] },
  ),
  differentiated(
    "rmsNorm",
    [numbers([7, ROW], -3, 5, 1), affinePair[0] as Ref],
    () => (x, w) => rmsNorm(x!, w!, EPS),
    (x, w) => normRef(x!, 1, ROW, EPS, false, w),
  ),
  differentiated(
    "groupNorm",
    [numbers([5, 12], -3, 5, 1), numbers([12], 0.5, 2, 2), numbers([12], -1, 1, 3)],
    () => (x, w, b) => groupNorm(x!, 3, w!, b!),
    (x, w, b) => normRef(x!, 3, 12, EPS, true, w, b),
  ),
  differentiated(
    "sum and layerNorm in one",
    [numbers([7, ROW], -3, 5, 1), numbers([7, ROW], -1, 1, 4), ...affinePair],
    () => (x, update, w, b) => {
      const { stream, y } = addLayerNorm(x!, update!, w!, b!);
      return joined(stream, y);
    },
    (x, update, w, b) => {
      const stream = broadcast((a, b) => a! + b!, x!, update!);
      return ref([2 * 7 * ROW], [...stream.data, ...normRef(stream, 1, ROW, EPS, true, w, b).data]);
    },
  ),
];
