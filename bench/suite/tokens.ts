/** The first layers of a language model: rows of a table by token, and dropout. */
import { dropout } from "../../src/ops/dropout.ts";
import { embedding } from "../../src/ops/embedding.ts";
import { Generator } from "../../src/tensor/generator.ts";
import { philox4x32, splitWord } from "../../src/tensor/philox.ts";
import type { Line } from "../line.ts";
import { classes, input, withGradients, words } from "./inputs.ts";

function embeddingLine(tokens: number, V: number, C: number, backward: boolean): Line {
  return {
    name: `embedding/${backward ? "backward" : "forward"}/${tokens}of${V}x${C}`,
    flops: backward ? tokens * C : 0,
    bytes: words((backward ? 3 : 2) * tokens * C, tokens, backward ? V * C : 0),
    prepare(device, random) {
      const weight = input(device, random, [V, C]);
      const ids = classes(device, random, tokens, V);
      const dy = input(device, random, [tokens, C]);
      const op = () => embedding(weight.on, ids.on);
      return {
        inputs: [weight.on, ids.on, dy.on],
        run: backward ? withGradients([weight.on], op, dy.on) : () => [op()],
        expected: () => {
          const y = new Float64Array(tokens * C);
          const dweight = new Float64Array(V * C);
          ids.values.forEach((id, t) => {
            for (let c = 0; c < C; c++) {
              y[t * C + c] = weight.values[id * C + c]!;
              dweight[id * C + c]! += dy.values[t * C + c]!;
            }
          });
          return backward ? [y, dweight] : [y];
        },
      };
    },
  };
}

const SEED = 20_251_125;
const P = 0.2;

function dropoutLine(size: number): Line {
  return {
    name: `random/dropout/${size}`,
    flops: 0,
    bytes: words(2 * size),
    prepare(device, random) {
      const x = input(device, random, [size]);
      const generator = new Generator(device, SEED);
      return {
        inputs: [x.on],
        run() {
          generator.calls = 0;
          return [dropout(x.on, P, generator)];
        },
        expected() {
          const key = splitWord(SEED);
          const threshold = Math.round(P * 2 ** 32);
          let drawn: readonly number[] = [];
          const y = Float64Array.from(x.values, (value, i) => {
            if (i % 4 === 0) drawn = philox4x32([i >> 2, 0, 0, 0], key);
            return drawn[i % 4]! < threshold ? 0 : value / (1 - P);
          });
          return [y];
        },
        dispose: () => generator.dispose(),
      };
    },
  };
}

export const lines: readonly Line[] = [
  embeddingLine(1024, 1024, 256, false),
  embeddingLine(1024, 1024, 256, true),
  dropoutLine(1 << 20),
];
