/** Recurrent layers in float64, written from the equations, for comparison. */
import { type Ref, ref } from "../reference.ts";

export type CellName = "rnn_tanh" | "rnn_relu" | "gru" | "lstm";

export const GATES: Readonly<Record<CellName, number>> = { rnn_tanh: 1, rnn_relu: 1, gru: 3, lstm: 4 };

/** Parameters of one direction. */
export interface RefWeights {
  readonly weightIh: Ref;
  readonly weightHh: Ref;
  readonly biasIh: Ref;
  readonly biasHh: Ref;
}

export interface RefLayer {
  readonly cell: CellName;
  readonly x: Ref;
  readonly directions: readonly RefWeights[];
  readonly h0: Ref;
  readonly c0: Ref;
  readonly batchFirst?: boolean;
  readonly lengths?: readonly number[];
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

/** W v + b */
function affine({ shape, data }: Ref, v: ArrayLike<number>, bias: Ref): number[] {
  const [rows = 0, columns = 0] = shape;
  return Array.from({ length: rows }, (_, row) => {
    let sum = bias.data[row] as number;
    for (let k = 0; k < columns; k++) sum += (data[row * columns + k] as number) * (v[k] as number);
    return sum;
  });
}

/** Next h and c of one batch entry, from a = W_ih x + b_ih and b = W_hh h + b_hh. */
function step(cell: CellName, a: readonly number[], b: readonly number[], h: Float64Array, c: Float64Array): void {
  const H = h.length;
  for (let u = 0; u < H; u++) {
    const at = (gate: number) => [a[gate * H + u] as number, b[gate * H + u] as number] as const;
    const sum = (gate: number) => at(gate)[0] + at(gate)[1];
    const before = h[u] as number;
    if (cell === "rnn_tanh") h[u] = Math.tanh(sum(0));
    else if (cell === "rnn_relu") h[u] = Math.max(sum(0), 0);
    else if (cell === "gru") {
      const z = sigmoid(sum(1));
      const [an, bn] = at(2);
      h[u] = (1 - z) * Math.tanh(an + sigmoid(sum(0)) * bn) + z * before;
    } else {
      c[u] = sigmoid(sum(1)) * (c[u] as number) + sigmoid(sum(0)) * Math.tanh(sum(2));
      h[u] = sigmoid(sum(3)) * Math.tanh(c[u] as number);
    }
  }
}

/** y, h_n and c_n; the second direction runs from each entry's last step to its first. */
export function referenceLayer({ cell, x, directions, h0, c0, batchFirst = false, lengths }: RefLayer): {
  y: Ref;
  h: Ref;
  c: Ref;
} {
  const [first = 0, second = 0, I = 0] = x.shape;
  const [T, B] = batchFirst ? [second, first] : [first, second];
  const D = directions.length;
  const H = h0.shape[2] as number;
  const row = (t: number, b: number) => (batchFirst ? b * T + t : t * B + b);
  const y = ref([first, second, D * H], () => 0);
  const h = ref(h0.shape, h0.data);
  const c = ref(c0.shape, c0.data);
  directions.forEach(({ weightIh, weightHh, biasIh, biasHh }, d) => {
    for (let b = 0; b < B; b++) {
      const end = lengths?.[b] ?? T;
      const place = (d * B + b) * H;
      const hidden = h.data.subarray(place, place + H);
      const memory = c.data.subarray(place, place + H);
      for (let s = 0; s < end; s++) {
        const t = d === 1 ? end - 1 - s : s;
        const at = row(t, b);
        step(
          cell,
          affine(weightIh, x.data.subarray(at * I, (at + 1) * I), biasIh),
          affine(weightHh, hidden, biasHh),
          hidden,
          memory,
        );
        y.data.set(hidden, at * D * H + d * H);
      }
    }
  });
  return { y, h, c };
}
