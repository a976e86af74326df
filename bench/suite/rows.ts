/** Operations on rows: normalisation, softmax, loss, sums, and element by element. Bandwidth bounds them all. */
import { add } from "../../src/ops/binary.ts";
import { crossEntropy } from "../../src/ops/crossEntropy.ts";
import { layerNorm, rmsNorm } from "../../src/ops/norm.ts";
import { sum } from "../../src/ops/reduce.ts";
import { softmax } from "../../src/ops/softmax.ts";
import { transpose } from "../../src/ops/transpose.ts";
import { gelu } from "../../src/ops/unary.ts";
import type { Line } from "../line.ts";
import { classes, input, withGradients, words } from "./inputs.ts";

const EPS = 1e-5;
const ROWS = 1024;
const CHANNELS = 1024;

/** Calls `fn` with each row of (rows, width). */
function eachRow(values: Float32Array, width: number, fn: (row: Float64Array, start: number) => void): void {
  for (let at = 0; at < values.length; at += width) fn(Float64Array.from(values.subarray(at, at + width)), at);
}

const total = (row: Float64Array) => row.reduce((sum, x) => sum + x, 0);

/** Softmax of a row. */
export function probabilities(row: Float64Array): Float64Array {
  const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = row.map((x) => Math.exp(x - largest));
  const sum = total(weights);
  return weights.map((x) => x / sum);
}

/** (x - mean) / sqrt(variance + eps) of a row. */
export function normalised(row: Float64Array, eps: number): Float64Array {
  const mean = total(row) / row.length;
  const inverse = 1 / Math.sqrt(total(row.map((v) => (v - mean) ** 2)) / row.length + eps);
  return row.map((v) => (v - mean) * inverse);
}

const softmaxLine: Line = {
  name: `softmax/${ROWS}x${CHANNELS}`,
  flops: 5 * ROWS * CHANNELS,
  bytes: words(2 * ROWS * CHANNELS),
  prepare(device, random) {
    const x = input(device, random, [ROWS, CHANNELS], -4, 4);
    return {
      inputs: [x.on],
      run: () => [softmax(x.on)],
      expected: () => {
        const y = new Float64Array(x.values.length);
        eachRow(x.values, CHANNELS, (row, at) => y.set(probabilities(row), at));
        return [y];
      },
    };
  },
};

const layerNormLine: Line = {
  name: `norm/layer-backward/${ROWS}x${CHANNELS}`,
  flops: 18 * ROWS * CHANNELS,
  bytes: words(5 * ROWS * CHANNELS, 4 * CHANNELS),
  prepare(device, random) {
    const x = input(device, random, [ROWS, CHANNELS], 1, 3);
    const weight = input(device, random, [CHANNELS]);
    const bias = input(device, random, [CHANNELS]);
    const dy = input(device, random, [ROWS, CHANNELS]);
    const leaves = [x.on, weight.on, bias.on];
    return {
      inputs: [...leaves, dy.on],
      run: withGradients(leaves, () => layerNorm(x.on, weight.on, bias.on, EPS), dy.on),
      expected: () => {
        const [y, dx] = [new Float64Array(x.values.length), new Float64Array(x.values.length)];
        const [dw, db] = [new Float64Array(CHANNELS), new Float64Array(CHANNELS)];
        eachRow(x.values, CHANNELS, (row, at) => {
          const mean = total(row) / CHANNELS;
          const inverse = 1 / Math.sqrt(total(row.map((v) => (v - mean) ** 2)) / CHANNELS + EPS);
          const hat = row.map((v) => (v - mean) * inverse);
          const up = hat.map((_, c) => (dy.values[at + c] as number) * (weight.values[c] as number));
          const [meanUp, meanHat] = [total(up) / CHANNELS, total(up.map((u, c) => u * hat[c]!)) / CHANNELS];
          hat.forEach((h, c) => {
            y[at + c] = h * weight.values[c]! + bias.values[c]!;
            dx[at + c] = inverse * (up[c]! - meanUp - h * meanHat);
            dw[c]! += dy.values[at + c]! * h;
            db[c]! += dy.values[at + c]!;
          });
        });
        return [y, dx, dw, db];
      },
    };
  },
};

function normLine(kind: "layer" | "rms"): Line {
  return {
    name: `norm/${kind}/${ROWS}x${CHANNELS}`,
    flops: 8 * ROWS * CHANNELS,
    bytes: words(2 * ROWS * CHANNELS, 2 * CHANNELS),
    prepare(device, random) {
      const x = input(device, random, [ROWS, CHANNELS], 1, 3);
      const weight = input(device, random, [CHANNELS]);
      return {
        inputs: [x.on, weight.on],
        run: () => [kind === "layer" ? layerNorm(x.on, weight.on, null, EPS) : rmsNorm(x.on, weight.on, EPS)],
        expected: () => {
          const y = new Float64Array(x.values.length);
          eachRow(x.values, CHANNELS, (row, at) => {
            const mean = kind === "layer" ? total(row) / CHANNELS : 0;
            const inverse = 1 / Math.sqrt(total(row.map((v) => (v - mean) ** 2)) / CHANNELS + EPS);
            row.forEach((v, c) => {
              y[at + c] = (v - mean) * inverse * weight.values[c]!;
            });
          });
          return [y];
        },
      };
    },
  };
}

/** The loss alone, or with the gradient of the logits. */
function lossLine(backward: boolean): Line {
  return {
    name: `loss/cross-entropy${backward ? "-backward" : ""}/${ROWS}x${CHANNELS}`,
    flops: (backward ? 9 : 4) * ROWS * CHANNELS,
    bytes: words((backward ? 3 : 1) * ROWS * CHANNELS, ROWS),
    prepare(device, random) {
      const x = input(device, random, [ROWS, CHANNELS], -4, 4);
      const targets = classes(device, random, ROWS, CHANNELS);
      const op = () => crossEntropy(x.on, targets.on);
      return {
        inputs: [x.on, targets.on],
        run: backward ? withGradients([x.on], op) : () => [op()],
        expected: () => {
          const dx = new Float64Array(x.values.length);
          let loss = 0;
          eachRow(x.values, CHANNELS, (row, at) => {
            const shares = probabilities(row);
            const target = targets.values[at / CHANNELS] as number;
            loss -= Math.log(shares[target] as number) / ROWS;
            shares.forEach((p, c) => {
              dx[at + c] = (p - (c === target ? 1 : 0)) / ROWS;
            });
          });
          return backward ? [[loss], dx] : [[loss]];
        },
      };
    },
  };
}

const sumLine: Line = {
  name: `reduce/sum-rows/${ROWS}x${CHANNELS}`,
  flops: ROWS * CHANNELS,
  bytes: words(ROWS * CHANNELS, ROWS),
  prepare(device, random) {
    const x = input(device, random, [ROWS, CHANNELS]);
    return {
      inputs: [x.on],
      run: () => [sum(x.on, [1])],
      expected: () => {
        const y = new Float64Array(ROWS);
        eachRow(x.values, CHANNELS, (row, at) => {
          y[at / CHANNELS] = total(row);
        });
        return [y];
      },
    };
  },
};

const transposeLine: Line = {
  name: `shape/transpose/${ROWS}x${CHANNELS}`,
  flops: 0,
  bytes: words(2 * ROWS * CHANNELS),
  tolerance: 0,
  prepare(device, random) {
    const x = input(device, random, [ROWS, CHANNELS]);
    return {
      inputs: [x.on],
      run: () => [transpose(x.on)],
      expected: () => [x.values.map((_, i) => x.values[(i % ROWS) * CHANNELS + Math.floor(i / ROWS)] as number)],
    };
  },
};

const SIZE = ROWS * CHANNELS;
const addLine: Line = {
  name: `elementwise/add/${SIZE}`,
  flops: SIZE,
  bytes: words(3 * SIZE),
  prepare(device, random) {
    const [a, b] = [input(device, random, [SIZE]), input(device, random, [SIZE])];
    return {
      inputs: [a.on, b.on],
      run: () => [add(a.on, b.on)],
      expected: () => [Float64Array.from(a.values, (x, i) => x + b.values[i]!)],
    };
  },
};

/** Abramowitz and Stegun 7.1.26 is too coarse for a reference: the series and the continued fraction of erf are not. */
function erf(x: number): number {
  if (Math.abs(x) > 4) return Math.sign(x) * (1 - Math.exp(-x * x) / (Math.abs(x) * Math.sqrt(Math.PI)));
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const geluLine: Line = {
  name: `elementwise/gelu/${SIZE}`,
  flops: 12 * SIZE,
  bytes: words(2 * SIZE),
  prepare(device, random) {
    const x = input(device, random, [SIZE], -4, 4);
    return {
      inputs: [x.on],
      run: () => [gelu(x.on)],
      expected: () => [Float64Array.from(x.values, (v) => (v / 2) * (1 + erf(v / Math.SQRT2)))],
    };
  },
};

export const lines: readonly Line[] = [
  ...[softmaxLine, normLine("layer"), normLine("rms"), layerNormLine, lossLine(false), lossLine(true)],
  ...[sumLine, transposeLine, addLine, geluLine],
];
