/** A whole training step of many small launches: what a replay costs the page's thread shows in its JavaScript time. */
import { backward } from "../../src/autograd/backward.ts";
import { crossEntropy } from "../../src/ops/crossEntropy.ts";
import { linear } from "../../src/ops/linear.ts";
import { tanh } from "../../src/ops/unary.ts";
import { SGD } from "../../src/optim/sgd.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { Line } from "../line.ts";
import { classes, input, words } from "./inputs.ts";

const LR = 0.5;

/** The mean cross-entropy of x through layers of W x and tanh between them, and the layers after a step down its gradient. */
function reference(rows: number, width: number, x: Float32Array, targets: Int32Array, layers: readonly Float32Array[]) {
  const inputs: Float64Array[] = [];
  let y = Float64Array.from(x);
  layers.forEach((weight, l) => {
    inputs.push(y);
    const next = new Float64Array(rows * width);
    for (let r = 0; r < rows; r++)
      for (let o = 0; o < width; o++) {
        let sum = 0;
        for (let i = 0; i < width; i++) sum += y[r * width + i]! * weight[o * width + i]!;
        next[r * width + o] = l < layers.length - 1 ? Math.tanh(sum) : sum;
      }
    y = next;
  });
  let loss = 0;
  let dy = new Float64Array(rows * width);
  for (let r = 0; r < rows; r++) {
    const row = y.subarray(r * width, (r + 1) * width);
    const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
    loss += (Math.log(total) - row[targets[r]!]!) / rows;
    for (let o = 0; o < width; o++) dy[r * width + o] = (Math.exp(row[o]!) / total - (o === targets[r] ? 1 : 0)) / rows;
  }
  const after = layers.map((weight) => Float64Array.from(weight));
  for (let l = layers.length - 1; l >= 0; l--) {
    const [before, weight] = [inputs[l]!, layers[l]!];
    const dx = new Float64Array(rows * width);
    for (let r = 0; r < rows; r++)
      for (let o = 0; o < width; o++)
        for (let i = 0; i < width; i++) {
          after[l]![o * width + i]! -= LR * dy[r * width + o]! * before[r * width + i]!;
          dx[r * width + i]! += dy[r * width + o]! * weight[o * width + i]!;
        }
    dy = dx.map((value, i) => value * (1 - before[i]! ** 2));
  }
  return [[loss], ...after];
}

function line(depth: number, rows: number, width: number): Line {
  const weights = depth * width * width;
  return {
    name: `step/training/${depth}x${width}`,
    flops: 6 * rows * weights,
    bytes: words(4 * weights, (4 * depth + 2) * rows * width),
    prepare(device, random) {
      const bound = 1.5 / Math.sqrt(width);
      const layers = Array.from({ length: depth }, () => input(device, random, [width, width], -bound, bound));
      const x = input(device, random, [rows, width]);
      const targets = classes(device, random, rows, width);
      const parameters = layers.map(({ on }) => on);
      for (const parameter of parameters) parameter.requiresGrad = true;
      const optimizer = new SGD(parameters, { lr: LR });
      return {
        inputs: [...parameters, x.on, targets.on],
        run() {
          optimizer.zeroGrad();
          const logits = parameters.reduce<Tensor>(
            (y, weight, l) => (l < depth - 1 ? tanh(linear(y, weight)) : linear(y, weight)),
            x.on,
          );
          const loss = crossEntropy(logits, targets.on);
          backward(loss);
          optimizer.step();
          return [loss, ...parameters];
        },
        expected: () =>
          reference(
            rows,
            width,
            x.values,
            targets.values,
            layers.map(({ values }) => values),
          ),
        keeps: parameters,
        dispose: () => optimizer.dispose(),
      };
    },
  };
}

export const lines: readonly Line[] = [line(16, 8, 64)];
