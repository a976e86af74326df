import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { Linear } from "../../src/nn/linear.ts";
import { LSTM, RNN } from "../../src/nn/rnn.ts";
import { argmax } from "../../src/ops/argmax.ts";
import { crossEntropy } from "../../src/ops/crossEntropy.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { slice } from "../../src/ops/slice.ts";
import { Adam } from "../../src/optim/adam.ts";
import { capture } from "../../src/tensor/capture.ts";
import { empty } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { keep } from "../../src/tensor/scope.ts";
import type { Row, Scenario } from "./scenario.ts";

const SYMBOLS = 8;
const HIDDEN = 64;
const BATCH = 32;
const EVERY = 25;

interface Task {
  readonly T: number;
  readonly steps: number;
}

/** One of eight symbols, then noise of the same symbols marked as such; asked at the end: which was the first? */
function fillBatch(random: Random, T: number, x: Float32Array, targets: Int32Array): void {
  x.fill(0);
  const width = SYMBOLS + 1;
  for (let b = 0; b < BATCH; b++)
    for (let t = 0; t < T; t++) {
      const symbol = random.integer(SYMBOLS);
      const at = (t * BATCH + b) * width;
      x[at + symbol] = 1;
      if (t === 0) {
        targets[b] = symbol;
        x[at + SYMBOLS] = 1;
      }
    }
}

/** Accuracy on fresh batches as training goes on. */
async function learn(
  device: Device,
  kind: "RNN" | "LSTM",
  { T, steps }: Task,
): Promise<[step: number, share: number][]> {
  const random = new Random(4);
  const options = { inputSize: SYMBOLS + 1, hiddenSize: HIDDEN, random: new Random(5) };
  const layer = kind === "LSTM" ? new LSTM(device, options) : new RNN(device, options);
  const head = new Linear(device, HIDDEN, SYMBOLS, { random: new Random(6) });
  const optimizer = new Adam([...layer.parameters(), ...head.parameters()], { lr: 5e-3, maxNorm: 1 });
  const [x, targets] = [keep(empty(device, [T, BATCH, SYMBOLS + 1])), keep(empty(device, [BATCH], "i32"))];
  if (kind === "LSTM") {
    // An open forget gate and no other bias, as practice has it: what is added at every step would fill the cells.
    const biases = new Map(layer.namedParameters());
    biases.get("bias_ih_l0")?.write(new Float32Array(4 * HIDDEN).fill(3, HIDDEN, 2 * HIDDEN));
    biases.get("bias_hh_l0")?.write(new Float32Array(4 * HIDDEN));
  }
  const plan = await capture(device, () => {
    optimizer.zeroGrad();
    const { output } = layer.forward(x);
    const logits = head.forward(reshape(slice(output, 0, T - 1, T), [BATCH, HIDDEN]));
    backward(crossEntropy(logits, targets));
    optimizer.step();
    return argmax(logits);
  });
  const curve: [number, number][] = [];
  const [values, wanted] = [new Float32Array(x.size), new Int32Array(BATCH)];
  let right = 0;
  for (let step = 1; step <= steps; step++) {
    fillBatch(random, T, values, wanted);
    x.write(values);
    targets.write(wanted);
    plan.replay();
    // The batch is new to the model, so its own predictions measure what was learned before it.
    const guesses = await plan.outputs.data();
    right += guesses.reduce((sum, guess, b) => sum + (guess === wanted[b] ? 1 : 0), 0);
    if (step % EVERY === 0) {
      curve.push([step, right / (EVERY * BATCH)]);
      right = 0;
    }
  }
  plan.outputs.dispose();
  for (const one of [plan, optimizer, layer, head, x, targets]) one.dispose();
  return curve;
}

export const scenario: Scenario = {
  name: "recall",
  title: "Recalling the first of many symbols",
  shows:
    "Eight symbols are likely; the first must be named after the noise that follows. The LSTM learns to hold it in its cell; the RNN's gradient never reaches the first step, and it stays at chance, one in eight.",
  columns: [
    { name: "kind", label: "layer" },
    { name: "step", label: "training steps" },
    { name: "right", label: "right (share)" },
  ],
  pictures: [{ mark: "line", x: "step", y: "right", series: "kind" }],
  async run(device, { quick, progress }) {
    const task = quick ? { T: 6, steps: 50 } : { T: 48, steps: 600 };
    const rows: Row[] = [];
    for (const kind of ["RNN", "LSTM"] as const) {
      progress(kind);
      for (const [step, right] of await learn(device, kind, task)) rows.push({ kind, step, right });
    }
    return rows;
  },
};
