/** Drawing tokens from logits: filters, their order, and the inverse of the cumulative distribution; the largest logits. */
import { Sampler } from "../../src/ops/sample.ts";
import type { SamplingOptions } from "../../src/ops/sampleOptions.ts";
import { topK } from "../../src/ops/sampleTop.ts";
import type { Line } from "../line.ts";
import { input, words } from "./inputs.ts";

/** Indices of a row, largest element first, equal ones by index. */
const descending = (row: Float32Array) => [...row.keys()].sort((i, j) => row[j]! - row[i]! || i - j);

/** The token that a number in [0, 1) draws from what the filters leave of a row, in vocabulary order, in float64. */
function draw(row: Float32Array, uniform: number, { topK = 0, topP = 1 }: SamplingOptions): number {
  const order = descending(row);
  const best = row[order[0]!]!;
  const weight = (id: number) => Math.exp(row[id]! - best);
  const total = (ids: readonly number[]) => ids.reduce((sum, id) => sum + weight(id), 0);
  const likely = order.slice(0, topK || order.length);
  const wanted = topP * total(likely);
  let kept = 0;
  for (let sum = 0; kept < likely.length && sum < wanted; kept++) sum += weight(likely[kept]!);
  const left = likely.slice(0, kept).sort((i, j) => i - j);
  const above = uniform * total(left);
  let sum = 0;
  for (const id of left) {
    sum += weight(id);
    if (sum > above) return id;
  }
  return left.at(-1)!;
}

function line(name: string, batch: number, vocabSize: number, options: SamplingOptions): Line {
  return {
    name: `sample/${name}/${batch}x${vocabSize}`,
    flops: 0,
    bytes: words(batch * vocabSize, batch),
    tolerance: 0,
    prepare(device, random) {
      const logits = input(device, random, [batch, vocabSize], -4, 4);
      const uniforms = input(device, random, [batch], 0, 1);
      const sampler = new Sampler(device, { batch, vocabSize, ...options });
      return {
        inputs: [logits.on, uniforms.on],
        run: () => [sampler.record(logits.on, uniforms.on)],
        expected: () => [
          Array.from(uniforms.values, (uniform, i) =>
            draw(logits.values.subarray(i * vocabSize, (i + 1) * vocabSize), uniform, options),
          ),
        ],
        keeps: [sampler.token],
        dispose: () => sampler.dispose(),
      };
    },
  };
}

function topLine(count: number, rows: number, columns: number): Line {
  return {
    name: `sample/largest-${count}/${rows}x${columns}`,
    flops: 0,
    bytes: words(rows * columns, 2 * rows * count),
    tolerance: 0,
    prepare(device, random) {
      const x = input(device, random, [rows, columns], -4, 4);
      return {
        inputs: [x.on],
        run() {
          const { values, ids } = topK(x.on, count);
          return [values, ids];
        },
        expected() {
          const all = Array.from({ length: rows }, (_, i) => x.values.subarray(i * columns, (i + 1) * columns));
          const best = all.map((row) => descending(row).slice(0, count));
          return [best.flatMap((ids, i) => ids.map((id) => all[i]![id]!)), best.flat()];
        },
      };
    },
  };
}

export const lines: readonly Line[] = [
  line("all", 4, 8192, {}),
  line("top-k", 4, 8192, { topK: 40 }),
  line("top-p", 4, 8192, { topP: 0.9 }),
  topLine(40, 4, 8192),
];
