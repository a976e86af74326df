/** The models of the workloads in jax-js's operations. An operation consumes its operands; `.ref` keeps one for another use. */
import * as jax from "@jax-js/jax";
import type { GptTrain, LstmTrain } from "../workloads.ts";

const { nn, numpy: np } = jax;
export type Array_ = jax.Array;
export type Named = Record<string, Array_>;

export const layerNorm = (x: Array_, gain: Array_, bias: Array_, eps: number): Array_ =>
  nn.standardize(x, -1, { epsilon: eps }).mul(gain).add(bias);

/** q, k, v are (B, T, H, D). */
export const attention = (q: Array_, k: Array_, v: Array_): Array_ =>
  nn.dotProductAttention(q, k, v, { isCausal: true });
export const swapHeads = (x: Array_): Array_ => np.transpose(x, [0, 2, 1, 3]);

export function lstmCell(z: Array_, c: Array_): [h: Array_, c: Array_] {
  const [i, f, g, o] = np.split(z, 4, -1);
  const next = nn
    .sigmoid(f)
    .mul(c)
    .add(nn.sigmoid(i).mul(np.tanh(g)));
  return [nn.sigmoid(o).mul(np.tanh(next.ref)), next];
}

// The gradient of take and of takeAlongAxis throws under jit ("scatter input is not imm"): products with one-hot rows.
export const embed = (table: Array_, ids: Array_, count: number): Array_ => np.matmul(nn.oneHot(ids, count), table);
export function crossEntropy(logits: Array_, targets: Array_): Array_ {
  const rows = nn.oneHot(targets, logits.shape.at(-1) as number);
  return nn.logSoftmax(logits, -1).mul(rows).sum(-1).mean().neg();
}

export function wkv(w: Array_, k: Array_, v: Array_, u: Array_): Array_ {
  const [B, , C] = k.shape;
  const [ks, vs] = [np.unstack(k, 1), np.unstack(v, 1)];
  let [a, b, p] = [np.zeros([B, C]), np.zeros([B, C]), np.full([B, C], -1e30)];
  const steps = ks.map((kt, t) => {
    const boosted = u.ref.add(kt.ref);
    const most = np.maximum(p.ref, boosted.ref);
    const before = np.exp(p.ref.sub(most.ref));
    const now = np.exp(boosted.sub(most));
    const above = before.ref.mul(a.ref).add(now.ref.mul(vs[t].ref));
    const y = above.div(before.mul(b.ref).add(now));
    const faded = p.add(w.ref);
    p = np.maximum(faded.ref, kt.ref);
    const keep = np.exp(faded.sub(p.ref));
    const add = np.exp(kt.sub(p.ref));
    a = keep.ref.mul(a).add(add.ref.mul(vs[t]));
    b = keep.mul(b).add(add);
    return y;
  });
  for (const left of [a, b, p, w, u]) left.dispose();
  return np.stack(steps, 1);
}

export function lstmLoss({ B, T, H, V }: LstmTrain["sizes"]) {
  return (p: Named, ids: Array_, targets: Array_): Array_ => {
    const sums = np
      .matmul(embed(p.emb, ids, V), p.wx)
      .add(p.b)
      .reshape([T, B, 4 * H]);
    let [h, c] = [np.zeros([B, H]), np.zeros([B, H])];
    const states = np.unstack(sums, 0).map((sum) => {
      [h, c] = lstmCell(sum.add(np.matmul(h, p.wh.ref)), c);
      return h.ref;
    });
    for (const left of [h, c, p.wh]) left.dispose();
    return crossEntropy(np.matmul(np.concatenate(states, 0), p.wo).add(p.bo), targets);
  };
}

export function gptLoss({ B, T, C, L, NH, V }: GptTrain["sizes"]) {
  return (p: Named, ids: Array_, targets: Array_): Array_ => {
    let x = embed(p.tok, ids, V)
      .reshape([B, T, C])
      .add(p.pos)
      .reshape([B * T, C]);
    for (let layer = 0; layer < L; layer++) {
      const own = (name: string) => p[`l${layer}_${name}`];
      const normal = layerNorm(x.ref, own("ln1g"), own("ln1b"), 1e-5);
      const projected = np.split(np.matmul(normal, own("wqkv")).add(own("bqkv")), 3, -1);
      const [q, k, v] = projected.map((part) => part.reshape([B, T, NH, C / NH]));
      x = x.add(np.matmul(attention(q, k, v).reshape([B * T, C]), own("wo")).add(own("bo")));
      const inner = np.matmul(layerNorm(x.ref, own("ln2g"), own("ln2b"), 1e-5), own("w1")).add(own("b1"));
      x = x.add(np.matmul(nn.gelu(inner, { approximate: true }), own("w2")).add(own("b2")));
    }
    return crossEntropy(np.matmul(layerNorm(x, p.lnfg, p.lnfb, 1e-5), p.head), targets);
  };
}
