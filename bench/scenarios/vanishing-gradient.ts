import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { sum } from "../../src/ops/reduce.ts";
import { lstmLayer } from "../../src/ops/rnn/lstm.ts";
import { rnnLayer } from "../../src/ops/rnn/rnn.ts";
import { slice } from "../../src/ops/slice.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Row, Scenario } from "./scenario.ts";

const HIDDEN = 64;
const BATCH = 8;
/** What practice gives an LSTM's forget gate, so that it keeps its cell until it learns to forget (Jozefowicz et al. 2015). */
const FORGET_BIAS = 3;

/** Norm of d(sum of the last hidden state) / d(input), a step. */
async function gradientNorms(device: Device, kind: "rnn" | "lstm", T: number): Promise<number[]> {
  const random = new Random(3);
  const gates = kind === "lstm" ? 4 : 1;
  const bound = 1 / Math.sqrt(HIDDEN);
  const uniform = (shape: number[], low: number, high: number) =>
    tensor(device, random.fillUniform(new Float32Array(shape.reduce((a, b) => a * b, 1)), low, high), shape);
  const x = uniform([T, BATCH, HIDDEN], -1, 1);
  const bias = new Float32Array(gates * HIDDEN);
  if (kind === "lstm") bias.fill(FORGET_BIAS, HIDDEN, 2 * HIDDEN);
  const weights = {
    weightIh: uniform([gates * HIDDEN, HIDDEN], -bound, bound),
    weightHh: uniform([gates * HIDDEN, HIDDEN], -bound, bound),
    biasIh: tensor(device, bias),
    biasHh: tensor(device, new Float32Array(gates * HIDDEN)),
  };
  x.requiresGrad = true;
  scope(() => {
    const { y } = (kind === "lstm" ? lstmLayer : rnnLayer)(x, [weights]);
    backward(sum(slice(y, 0, T - 1, T)));
  });
  const grad = (await x.grad?.data()) ?? new Float32Array(x.size);
  for (const one of [x, ...Object.values(weights)]) one.dispose();
  const width = BATCH * HIDDEN;
  return Array.from({ length: T }, (_, t) => Math.hypot(...grad.subarray(t * width, (t + 1) * width)));
}

export const scenario: Scenario = {
  name: "vanishing-gradient",
  title: "How much of a gradient reaches an input so many steps back",
  shows:
    "The norm of the gradient of the last hidden state, relative to that at the last step. In an RNN it falls exponentially with distance; an LSTM's cell, its forget gate opened, carries it.",
  columns: [
    { name: "kind", label: "layer" },
    { name: "distance", label: "steps back" },
    { name: "norm", label: "gradient norm, relative" },
  ],
  pictures: [{ mark: "line", x: "distance", y: "norm", series: "kind", log: ["y"] }],
  async run(device, { quick, progress }) {
    const T = quick ? 17 : 129;
    const rows: Row[] = [];
    for (const kind of ["rnn", "lstm"] as const) {
      progress(kind);
      const norms = await gradientNorms(device, kind, T);
      for (let distance = 0; distance < T; distance += quick ? 4 : 8) {
        const norm = norms[T - 1 - distance]! / norms[T - 1]!;
        // A logarithmic axis has no place for a gradient that is gone altogether.
        rows.push({ kind, distance, norm: norm > 0 ? norm : null });
      }
    }
    return rows;
  },
};
