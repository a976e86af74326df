/** The workloads' mathematics on the float64 tape. */
import type { GptTrain, LstmGenerate, LstmTrain, Wkv } from "../workloads.ts";
import * as rows from "./rows.ts";
import type { Value } from "./tape.ts";
import * as t from "./tape.ts";

export type Parameters<K extends string = string> = Readonly<Record<K, Value>>;

/** Causal attention on (B, H, T, D). */
export function attention(q: Value, k: Value, v: Value): Value {
  const [length, width] = q.shape.slice(-2) as [number, number];
  const scores = t.scale(t.matmul(q, t.permute(k, [0, 1, 3, 2])), 1 / Math.sqrt(width));
  const mask = Float64Array.from({ length: length ** 2 }, (_, i) =>
    i % length > Math.floor(i / length) ? Number.NEGATIVE_INFINITY : 0,
  );
  return t.matmul(rows.softmax(t.add(scores, new t.Value([length, length], mask))), v);
}

/** One LSTM step from the sum of both products and the bias. */
function lstmCell(z: Value, c: Value): [h: Value, c: Value] {
  const width = c.shape.at(-1)!;
  const [i, f, g, o] = [0, 1, 2, 3].map((gate) => t.slice(z, 1, gate * width, (gate + 1) * width));
  const next = t.add(t.mul(t.sigmoid(f!), c), t.mul(t.sigmoid(i!), t.tanh(g!)));
  return [t.mul(t.sigmoid(o!), t.tanh(next)), next];
}

type LstmNames = keyof LstmTrain["parameters"];

export function lstmLoss(p: Parameters<LstmNames>, { sizes, inputs }: LstmTrain): Value {
  const { B, T, H } = sizes;
  /** (B, T) as a list that has step 0 of every text first. */
  const stepwise = (ids: Int32Array) => Array.from({ length: B * T }, (_, i) => ids[(i % B) * T + Math.floor(i / B)]);
  const sums = t.add(t.matmul(t.rows(p.emb, stepwise(inputs.ids.data)), p.wx), p.b);
  let [h, c] = [t.zeros([B, H]), t.zeros([B, H])];
  const states = Array.from({ length: T }, (_, step) => {
    [h, c] = lstmCell(t.add(t.slice(sums, 0, step * B, (step + 1) * B), t.matmul(h, p.wh)), c);
    return h;
  });
  return rows.crossEntropy(t.add(t.matmul(t.concat(states), p.wo), p.bo), stepwise(inputs.targets.data));
}

export function lstmTokens(p: Parameters<LstmNames>, { sizes, inputs }: LstmGenerate): number[] {
  const { H, N, V, start } = sizes;
  let [h, c, token] = [t.zeros([1, H]), t.zeros([1, H]), start];
  return Array.from({ length: N }, (_, n) => {
    const input = t.add(t.matmul(t.rows(p.emb, [token]), p.wx), p.b);
    [h, c] = lstmCell(t.add(input, t.matmul(h, p.wh)), c);
    const logits = t.add(t.matmul(h, p.wo), p.bo).data;
    const scores = logits.map((logit, id) => logit + inputs.noise.data[n * V + id]);
    token = scores.indexOf(Math.max(...scores));
    return token;
  });
}

export function gptLoss(p: Parameters, { sizes, inputs }: GptTrain): Value {
  const { C, L, NH, B, T } = sizes;
  let x = t.add(t.reshape(t.rows(p.tok!, [...inputs.ids.data]), [B, T, C]), p.pos!);
  x = t.reshape(x, [B * T, C]);
  for (let layer = 0; layer < L; layer++) {
    const own = (name: string) => p[`l${layer}_${name}`];
    const normal = rows.layerNorm(x, own("ln1g"), own("ln1b"), 1e-5);
    const projected = t.reshape(t.add(t.matmul(normal, own("wqkv")), own("bqkv")), [B, T, 3, NH, C / NH]);
    const heads = t.permute(projected, [2, 0, 3, 1, 4]);
    const [q, k, v] = [0, 1, 2].map((i) => t.reshape(t.slice(heads, 0, i, i + 1), [B, NH, T, C / NH]));
    const mixed = t.reshape(t.permute(attention(q!, k!, v!), [0, 2, 1, 3]), [B * T, C]);
    x = t.add(x, t.add(t.matmul(mixed, own("wo")), own("bo")));
    const inner = t.gelu(t.add(t.matmul(rows.layerNorm(x, own("ln2g"), own("ln2b"), 1e-5), own("w1")), own("b1")));
    x = t.add(x, t.add(t.matmul(inner, own("w2")), own("b2")));
  }
  return rows.crossEntropy(t.matmul(rows.layerNorm(x, p.lnfg!, p.lnfb!, 1e-5), p.head!), inputs.targets.data);
}

/** RWKV-4 (Peng et al. 2023, equation 16) with the running maximum that keeps exp in range. */
export function wkv(
  { w, u, k, v }: Parameters<Exclude<keyof Wkv["inputs"], "dout">>,
  { sizes: { B, T, C } }: Wkv,
): Value {
  let [a, b, p] = [t.zeros([B, C]), t.zeros([B, C]), t.zeros([B, C], -1e30)];
  const steps = Array.from({ length: T }, (_, step) => {
    const [kt, vt] = [k, v].map((x) => t.reshape(t.slice(x, 1, step, step + 1), [B, C])) as [Value, Value];
    /** Adds (kk, vt) to sums that were scaled by exp(pp). */
    const merged = (pp: Value, kk: Value) => {
      const largest = t.max(pp, kk);
      const [before, now] = [t.exp(t.sub(pp, largest)), t.exp(t.sub(kk, largest))];
      return { a: t.add(t.mul(before, a), t.mul(now, vt)), b: t.add(t.mul(before, b), now), p: largest };
    };
    const output = merged(p, t.add(u, kt));
    const y = t.reshape(t.div(output.a, output.b), [1, B, C]);
    ({ a, b, p } = merged(t.add(p, w), kt));
    return y;
  });
  return t.permute(t.concat(steps), [1, 0, 2]);
}
