/** The recurrences of Mamba and RetNet in float64, written from the equations. */
import { type Ref, ref } from "../reference.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => (x > 20 ? x : Math.log1p(Math.exp(x)));

/** A causal convolution with SiLU: y and the state it leaves, in one row. */
export function convRef(x: Ref, weight: Ref, bias: Ref, state: Ref): Ref {
  const [B = 0, T = 0, C = 0] = x.shape;
  const K = weight.shape[2]!;
  const row = (b: number, t: number, c: number) =>
    t < K - 1 ? state.data[(b * (K - 1) + t) * C + c]! : x.data[(b * T + t - K + 1) * C + c]!;
  const out: number[] = [];
  for (let i = 0; i < B * T * C; i++) {
    const [b, t, c] = [Math.floor(i / (T * C)), Math.floor(i / C) % T, i % C];
    let z = bias.data[c]!;
    for (let j = 0; j < K; j++) z += weight.data[c * K + j]! * row(b, t + j, c);
    out.push(z * sigmoid(z));
  }
  for (let i = 0; i < B * (K - 1) * C; i++)
    out.push(row(Math.floor(i / ((K - 1) * C)), T + (Math.floor(i / C) % (K - 1)), i % C));
  return ref([out.length], out);
}

/** The selective scan of u, delta, A, B, C, D, z, deltaBias and the state before: y and the last state, in one row. */
export function scanRef(...inputs: Ref[]): Ref {
  const [u, delta, A, Bs, Cs, D, z, bias, state] = inputs.map(({ data }) => data) as Float64Array[];
  const [B = 0, T = 0, E = 0] = inputs[0]!.shape;
  const [, , G = 1, N = 1] = inputs[3]!.shape;
  const h = Float64Array.from(state!);
  const y = new Float64Array(B * T * E);
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      for (let e = 0; e < E; e++) {
        const at = (b * T + t) * E + e;
        const group = ((b * T + t) * G + Math.floor(e / (E / G))) * N;
        const pace = softplus(delta![at]! + bias![e]!);
        let sum = D![e]! * u![at]!;
        for (let n = 0; n < N; n++) {
          const i = (b * E + e) * N + n;
          h[i] = Math.exp(pace * A![e * N + n]!) * h[i]! + pace * Bs![group + n]! * u![at]!;
          sum += Cs![group + n]! * h[i]!;
        }
        y[at] = sum * z![at]! * sigmoid(z![at]!);
      }
    }
  }
  return ref([y.length + h.length], [...y, ...h]);
}

/** Attention that fades by e^w: y and the last state, in one row. */
export function fadingRef(q: Ref, k: Ref, v: Ref, w: Ref, before: Ref): Ref {
  const [B = 0, T = 0, H = 0, V = 0] = v.shape;
  const [, , G = 1, K = 0] = q.shape;
  const s = Float64Array.from(before.data);
  const y = new Float64Array(v.data.length);
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      for (let h = 0; h < H; h++) {
        const value = ((b * T + t) * H + h) * V;
        const key = ((b * T + t) * G + Math.floor(h / (H / G))) * K;
        const fade = Math.exp(w.data[w.shape.length === 1 ? h : (b * T + t) * H + h]!);
        for (let i = 0; i < K; i++) {
          for (let j = 0; j < V; j++) {
            const at = ((b * H + h) * K + i) * V + j;
            s[at] = fade * s[at]! + k.data[key + i]! * v.data[value + j]!;
            y[value + j]! += q.data[key + i]! * s[at]!;
          }
        }
      }
    }
  }
  return ref([y.length + s.length], [...y, ...s]);
}
