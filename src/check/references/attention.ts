import { at, type Ref, ref } from "../reference.ts";

/** What a query sees, as in AttentionOptions; -1 in a window is no limit. */
export interface Sight {
  readonly causal?: boolean;
  readonly window?: readonly [number, number];
  readonly scale?: number;
  readonly lengths?: readonly number[];
  readonly keyMask?: readonly (readonly number[])[];
  readonly slopes?: readonly number[];
  /** [B or 1, H or 1, Tq, Tk] */
  readonly bias?: Ref;
}

/** Attention and its gradients in float64, for q [B, H, Tq, D], k and v [B, Hkv, Tk, D], with every option. */
export function attentionRef(q: Ref, k: Ref, v: Ref, dout: Ref, sight: Sight = {}, dlse: Ref | null = null) {
  const [B, H, Tq, D] = q.shape as [number, number, number, number];
  const [, Hkv, Tk] = k.shape as [number, number, number, number];
  const { causal = false, window: [left, right] = [-1, -1], scale = 1 / Math.sqrt(D) } = sight;
  const zeros = (x: Ref) => ref(x.shape, () => 0);
  const [out, dq, dk, dv] = [zeros(q), zeros(q), zeros(k), zeros(v)];
  const lse = ref([B, H, Tq], () => Number.NEGATIVE_INFINITY);
  const add = (x: Ref, [b, h, t, d]: readonly [number, number, number, number], value: number) => {
    const [, heads, rows, size] = x.shape as [number, number, number, number];
    const i = ((b * heads + h) * rows + t) * size + d;
    x.data[i] = (x.data[i] as number) + value;
  };
  const sees = (b: number, i: number, j: number) => {
    const P = i + Tk - Tq;
    if (causal && j > P) return false;
    if ((left >= 0 && j < P - left) || (right >= 0 && j > P + right)) return false;
    return j < (sight.lengths?.[b] ?? Tk) && (sight.keyMask?.[b]?.[j] ?? 1) !== 0;
  };
  const share = (b: number, h: number) => [b % (sight.bias?.shape[0] ?? 1), h % (sight.bias?.shape[1] ?? 1)] as const;
  const added = (b: number, h: number, i: number, j: number) =>
    sight.bias ? at(sight.bias, [...share(b, h), i, j]) : 0;
  const dbias = sight.bias ? zeros(sight.bias) : null;
  const dot = (f: (d: number) => number) => Array.from({ length: D }, (_, d) => f(d)).reduce((a, b) => a + b, 0);
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++)
      for (let i = 0; i < Tq; i++) {
        const g = Math.floor(h / (H / Hkv));
        const keys = Array.from({ length: Tk }, (_, j) => j).filter((j) => sees(b, i, j));
        if (keys.length === 0) continue;
        const bias = (j: number) => -(sight.slopes?.[h] ?? 0) * Math.abs(i + Tk - Tq - j) + added(b, h, i, j);
        const scores = keys.map((j) => scale * dot((d) => at(q, [b, h, i, d]) * at(k, [b, g, j, d])) + bias(j));
        const most = Math.max(...scores);
        if (most === Number.NEGATIVE_INFINITY) continue;
        const L = most + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - most), 0));
        lse.data[(b * H + h) * Tq + i] = L;
        const p = scores.map((s) => Math.exp(s - L));
        keys.forEach((j, n) => {
          for (let d = 0; d < D; d++) add(out, [b, h, i, d], (p[n] as number) * at(v, [b, g, j, d]));
        });
        const delta = dot((d) => at(dout, [b, h, i, d]) * at(out, [b, h, i, d])) - (dlse ? at(dlse, [b, h, i]) : 0);
        keys.forEach((j, n) => {
          const dp = dot((d) => at(dout, [b, h, i, d]) * at(v, [b, g, j, d]));
          const change = (p[n] as number) * (dp - delta);
          if (dbias) add(dbias, [...share(b, h), i, j], change);
          const ds = scale * change;
          for (let d = 0; d < D; d++) {
            add(dq, [b, h, i, d], ds * at(k, [b, g, j, d]));
            add(dk, [b, g, j, d], ds * at(q, [b, h, i, d]));
            add(dv, [b, g, j, d], (p[n] as number) * at(dout, [b, h, i, d]));
          }
        });
      }
  return { out, lse, dq, dk, dv, dbias };
}

/** [B, H, T, D] <-> [B, T, H, D]. */
export function swapHeads(x: Ref): Ref {
  const [B, M, N, D] = x.shape as [number, number, number, number];
  return ref([B, N, M, D], (i) =>
    at(x, [Math.floor(i / (D * M * N)), Math.floor(i / D) % M, Math.floor(i / (D * M)) % N, i % D]),
  );
}
