import { type Ref, ref } from "../../src/check/reference.ts";
import { referenceLayer } from "../../src/check/references/recurrent.ts";
import { gruLayer } from "../../src/ops/rnn/gru.ts";
import { lstmLayer } from "../../src/ops/rnn/lstm.ts";
import { rnnLayer } from "../../src/ops/rnn/rnn.ts";
import type { Line } from "../line.ts";
import { type Input, input, words } from "./inputs.ts";

type Cell = "rnn" | "gru" | "lstm";

const GATES: Readonly<Record<Cell, number>> = { rnn: 1, gru: 3, lstm: 4 };
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
        expected: () => {
          const [input, ...parameters] = all.map(({ values, on }) => ref(on.shape, values));
          const [weightIh, weightHh, biasIh, biasHh] = parameters as [Ref, Ref, Ref, Ref];
          const zero = ref([1, B, H], () => 0);
          const directions = [{ weightIh, weightHh, biasIh, biasHh }];
          const cell = kind === "rnn" ? "rnn_tanh" : kind;
          return [referenceLayer({ cell, x: input as Ref, directions, h0: zero, c0: zero }).y.data];
        },
      };
    },
  };
}

export const lines: readonly Line[] = [
  layerLine("rnn", 64, 16, 128),
  layerLine("gru", 64, 16, 128),
  layerLine("lstm", 64, 16, 128),
];
