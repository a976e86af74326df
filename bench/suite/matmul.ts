import { linear } from "../../src/ops/linear.ts";
import { matmul } from "../../src/ops/matmul.ts";
import type { Line } from "../line.ts";
import { input, withGradients, words } from "./inputs.ts";

/** (M, K) x (K, N), or b stored (N, K), in float64. */
export function productReference(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  { M, N, K, transposeB }: { M: number; N: number; K: number; transposeB: boolean },
): Float64Array {
  const y = new Float64Array(M * N);
  for (let m = 0; m < M; m++)
    for (let k = 0; k < K; k++) {
      const value = a[m * K + k] as number;
      for (let n = 0; n < N; n++) y[m * N + n]! += value * (b[transposeB ? n * K + k : k * N + n] as number);
    }
  return y;
}

function square(size: number, transposeB = false): Line {
  return product2(`matmul/${transposeB ? "transposed" : "square"}/${size}`, size, size, size, transposeB);
}

function product2(name: string, M: number, N: number, K: number, transposeB = false): Line {
  return {
    name,
    flops: 2 * M * N * K,
    bytes: words(M * K, K * N, M * N),
    prepare(device, random) {
      const a = input(device, random, [M, K]);
      const b = input(device, random, transposeB ? [N, K] : [K, N]);
      return {
        inputs: [a.on, b.on],
        run: () => [matmul(a.on, b.on, { transposeB })],
        expected: () => [productReference(a.values, b.values, { M, N, K, transposeB })],
      };
    },
  };
}

/** y = x W^T + bias and the gradients of all three. */
function layer(rows: number, inputs: number, outputs: number): Line {
  return {
    name: `matmul/linear-backward/${rows}x${inputs}x${outputs}`,
    flops: 6 * rows * inputs * outputs,
    bytes: words(2 * rows * inputs, 2 * inputs * outputs, 2 * rows * outputs, 2 * outputs),
    prepare(device, random) {
      const x = input(device, random, [rows, inputs]);
      const weight = input(device, random, [outputs, inputs]);
      const bias = input(device, random, [outputs]);
      const dy = input(device, random, [rows, outputs]);
      const leaves = [x.on, weight.on, bias.on];
      return {
        inputs: [...leaves, dy.on],
        run: withGradients(leaves, () => linear(x.on, weight.on, bias.on), dy.on),
        expected: () => {
          const sizes = { M: rows, N: outputs, K: inputs, transposeB: true };
          const y = productReference(x.values, weight.values, sizes);
          const db = new Float64Array(outputs);
          const dw = new Float64Array(outputs * inputs);
          for (let r = 0; r < rows; r++)
            for (let o = 0; o < outputs; o++) {
              y[r * outputs + o]! += bias.values[o] as number;
              const d = dy.values[r * outputs + o] as number;
              db[o]! += d;
              for (let i = 0; i < inputs; i++) dw[o * inputs + i]! += d * (x.values[r * inputs + i] as number);
            }
          const back = { M: rows, N: inputs, K: outputs, transposeB: false };
          return [y, productReference(dy.values, weight.values, back), dw, db];
        },
      };
    },
  };
}

export const lines: readonly Line[] = [
  square(256),
  square(512),
  square(1024),
  square(512, true),
  product2("matmul/skinny/16x1024x1024", 16, 1024, 1024, true),
  product2("matmul/vector/1x1024x1024", 1, 1024, 1024, true),
  layer(256, 256, 256),
];
