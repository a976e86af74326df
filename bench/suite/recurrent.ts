import { gruLayer } from "../../src/ops/rnn/gru.ts";
import { lstmLayer } from "../../src/ops/rnn/lstm.ts";
import { rnnLayer } from "../../src/ops/rnn/rnn.ts";
import type { Line } from "../line.ts";
import { type Input, input, words } from "./inputs.ts";

type Cell = "rnn" | "gru" | "lstm";

const GATES: Readonly<Record<Cell, number>> = { rnn: 1, gru: 3, lstm: 4 };
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** Hidden states of one layer, (T, B, H), in float64; the equations and gate orders of PyTorch. */
function unroll(kind: Cell, T: number, B: number, H: number, inputs: readonly Float32Array[]): Float64Array {
  const [x, weightIh, weightHh, biasIh, biasHh] = inputs as [
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const width = GATES[kind] * H;
  const y = new Float64Array(T * B * H);
  const cells = new Float64Array(B * H);
  const affine = (weight: Float32Array, bias: Float32Array, values: ArrayLike<number>, at: number) =>
    Float64Array.from({ length: width }, (_, g) => {
      let sum = bias[g] as number;
      for (let i = 0; i < H; i++) sum += weight[g * H + i]! * (values[at + i] as number);
      return sum;
    });
  const zero = new Float64Array(H);
  for (let t = 0; t < T; t++)
    for (let b = 0; b < B; b++) {
      const at = (t * B + b) * H;
      const before = t > 0 ? y.subarray(at - B * H, at - B * H + H) : zero;
      const [gx, gh] = [affine(weightIh, biasIh, x, at), affine(weightHh, biasHh, before, 0)];
      const gate = (i: number, h: number) => gx[i * H + h]! + gh[i * H + h]!;
      for (let h = 0; h < H; h++) {
        if (kind === "rnn") y[at + h] = Math.tanh(gate(0, h));
        else if (kind === "gru") {
          const update = sigmoid(gate(1, h));
          const fresh = Math.tanh(gx[2 * H + h]! + sigmoid(gate(0, h)) * gh[2 * H + h]!);
          y[at + h] = (1 - update) * fresh + update * before[h]!;
        } else {
          const cell = sigmoid(gate(1, h)) * cells[b * H + h]! + sigmoid(gate(0, h)) * Math.tanh(gate(2, h));
          cells[b * H + h] = cell;
          y[at + h] = sigmoid(gate(3, h)) * Math.tanh(cell);
        }
      }
    }
  return y;
}

const LAYERS = { rnn: rnnLayer, gru: gruLayer, lstm: lstmLayer };

function layerLine(kind: Cell, T: number, B: number, H: number): Line {
  const weights = GATES[kind] * H * H;
  return {
    name: `rnn/${kind}/T${T}B${B}H${H}`,
    flops: 4 * T * B * weights,
    bytes: words(2 * T * B * H, 2 * weights),
    prepare(device, random) {
      const bound = 1 / Math.sqrt(H);
      const shapes = [[GATES[kind] * H, H], [GATES[kind] * H, H], [GATES[kind] * H], [GATES[kind] * H]];
      const x = input(device, random, [T, B, H]);
      const all = [x, ...shapes.map((shape) => input(device, random, shape, -bound, bound))];
      const [weightIh, weightHh, biasIh, biasHh] = all.slice(1).map(({ on }) => on) as [
        Input["on"],
        Input["on"],
        Input["on"],
        Input["on"],
      ];
      return {
        inputs: all.map(({ on }) => on),
        run: () => [LAYERS[kind](x.on, [{ weightIh, weightHh, biasIh, biasHh }]).y],
        expected: () => [
          unroll(
            kind,
            T,
            B,
            H,
            all.map(({ values }) => values),
          ),
        ],
      };
    },
  };
}

export const lines: readonly Line[] = [
  layerLine("rnn", 64, 16, 128),
  layerLine("gru", 64, 16, 128),
  layerLine("lstm", 64, 16, 128),
];
