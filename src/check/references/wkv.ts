/** RWKV's recurrences in float64, written from the equations. */
import { type Ref, ref } from "../reference.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const decay = (w: number) => Math.exp(-Math.exp(w));

/** State by key (rows) and value. */
export function fadingStep({ r, k, v, w, u }: Readonly<Record<string, Float64Array>>, state: Float64Array[]): number[] {
  const y = Array.from(v!, () => 0);
  state.forEach((row, i) => {
    row.forEach((s, j) => {
      const gain = k![i]! * v![j]!;
      y[j]! += r![i]! * (s + u![i]! * gain);
      row[j] = decay(w![i]!) * s + gain;
    });
  });
  return y;
}

/** State by value (rows) and key. */
export function deltaStep(
  { r, w, k, v, a, b }: Readonly<Record<string, Float64Array>>,
  state: Float64Array[],
): number[] {
  return state.map((row, i) => {
    const along = row.reduce((sum, s, j) => sum + s * a![j]!, 0);
    row.forEach((s, j) => {
      row[j] = s * decay(w![j]!) + along * b![j]! + v![i]! * k![j]!;
    });
    return row.reduce((sum, s, j) => sum + s * r![j]!, 0);
  });
}

/** A recurrence whose state is a matrix a head, with its operands in order; those of `steps` have a row for every step. */
export interface HeadRecurrence {
  readonly steps: readonly string[];
  readonly fixed: readonly string[];
  /** One step of one head: changes the state, row by row, and returns y. */
  readonly step: (at: Readonly<Record<string, Float64Array>>, state: Float64Array[]) => number[];
}

/** y and then the last state, in one row. */
export function headRef({ steps, fixed, step }: HeadRecurrence, inputs: readonly Ref[]): Ref {
  const [B = 0, T = 0, H = 0, N = 0] = inputs[0]!.shape;
  const before = inputs[steps.length + fixed.length];
  const y = new Float64Array(B * T * H * N);
  const states: number[] = [];
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const matrix = (b * H + h) * N * N;
      const state = Array.from({ length: N }, (_, i) =>
        before ? before.data.slice(matrix + i * N, matrix + (i + 1) * N) : new Float64Array(N),
      );
      for (let t = 0; t < T; t++) {
        const row = ((b * T + t) * H + h) * N;
        const at: Record<string, Float64Array> = {};
        for (const [n, name] of [...steps, ...fixed].entries()) {
          const start = n < steps.length ? row : h * N;
          at[name] = inputs[n]!.data.subarray(start, start + N);
        }
        y.set(step(at, state), row);
      }
      states.push(...state.flatMap((row) => [...row]));
    }
  }
  return ref([y.length + states.length], [...y, ...states]);
}

/** Sums over all earlier steps relative to the largest exponent, as the formula stands; `before` is [3, B, C]. */
export function wkv4Ref(timeDecay: Ref, timeFirst: Ref, k: Ref, v: Ref, before?: Ref): Ref {
  const [B = 0, T = 0, C = 0] = k.shape;
  const rows = B * C;
  return ref(k.shape, (i) => {
    const [b, t, c] = [Math.floor(i / (T * C)), Math.floor(i / C) % T, i % C];
    const w = -Math.exp(timeDecay.data[c] as number);
    const terms = Array.from({ length: t + 1 }, (_, s) => {
      const at = (b * T + s) * C + c;
      const exponent = (k.data[at] as number) + (s === t ? (timeFirst.data[c] as number) : (t - 1 - s) * w);
      return { exponent, above: v.data[at] as number, below: 1 };
    });
    if (before) {
      const [aa = 0, bb = 0, pp = 0] = [0, 1, 2].map((n) => before.data[n * rows + b * C + c] as number);
      terms.push({ exponent: pp + t * w, above: aa, below: bb });
    }
    const most = Math.max(...terms.map(({ exponent }) => exponent));
    const sum = (part: "above" | "below") =>
      terms.reduce((total, term) => total + Math.exp(term.exponent - most) * term[part], 0);
    return sum("above") / sum("below");
  });
}

/** Sum of f over the channels of the head that value i is in. */
export const overHead = (i: number, size: number, f: (j: number) => number) => {
  const start = Math.floor(i / size) * size;
  return Array.from({ length: size }, (_, n) => f(start + n)).reduce((sum, x) => sum + x, 0);
};

export function deltaKeysRef(size: number, k: Ref, dw: Ref, da: Ref, w0: Ref, a0: Ref, scale: Ref, rated: Ref): Ref {
  const C = w0.data.length;
  const all = [...k.data];
  const rate = all.map((_, i) => sigmoid(a0.data[i % C]! + da.data[i]!));
  const m = all.map((x, i) => x * scale.data[i % C]!);
  const unit = m.map((x, i) => x / Math.max(Math.sqrt(overHead(i, size, (j) => m[j]! ** 2)), 1e-12));
  const w = all.map((_, i) => -Math.log1p(Math.exp(-(w0.data[i % C]! + dw.data[i]!))) - 0.5);
  const keys = all.map((x, i) => x * (1 + (rate[i]! - 1) * rated.data[i % C]!));
  const [B = 0, T = 0] = k.shape;
  return ref([4 * B, T, C], [...w, ...keys, ...unit.map((x) => -x), ...unit.map((x, i) => x * rate[i]!)]);
}

/**
 * Token shift: x + mix (x' - x) for each mix, x' the step before, and then the last steps, in one row.
 * @param kept the mixes tell how much of the present step is kept
 */
export function shiftRef(x: Ref, before: Ref | undefined, mixes: readonly Ref[], kept = false): Ref {
  const [B = 0, T = 0, C = 0] = x.shape;
  const mixed = mixes.flatMap(({ data }) =>
    [...x.data].map((now, i) => {
      const [b, t, c] = [Math.floor(i / (T * C)), Math.floor(i / C) % T, i % C];
      const old = t > 0 ? x.data[i - C]! : (before?.data[b * C + c] ?? 0);
      const share = kept ? 1 - data[c]! : data[c]!;
      return now + share * (old - now);
    }),
  );
  const last = Array.from({ length: B * C }, (_, i) => x.data[(Math.floor(i / C) * T + T - 1) * C + (i % C)]!);
  return ref([mixed.length + last.length], [...mixed, ...last]);
}

/** RWKV-6's token shift: all five mixed sequences [5, B, T, C], from x, the shares, five mixes and the step before. */
export function shift6Ref(x: Ref, shares: Ref, ...rest: Ref[]): Ref {
  const [B = 0, T = 0, C = 0] = x.shape;
  const before = rest[5];
  const size = x.data.length;
  return ref([5, B, T, C], (place) => {
    const [n, i] = [Math.floor(place / size), place % size];
    const [b, t, c] = [Math.floor(i / (T * C)), Math.floor(i / C) % T, i % C];
    const old = t > 0 ? x.data[i - C]! : (before?.data[b * C + c] ?? 0);
    return x.data[i]! + (rest[n]!.data[c]! + shares.data[place]!) * (old - x.data[i]!);
  });
}
