/** TensorFlow.js on either back end. Its LSTM layer cannot be trained step by step here, so cells are core operations. */
import * as tf from "@tensorflow/tfjs";
import type { Engine, Work } from "../page/engine.ts";
import {
  ADAM,
  type Floats,
  type GptTrain,
  type Ints,
  type LstmGenerate,
  type LstmTrain,
  type Wkv,
  type Workload,
} from "../workloads.ts";

interface Options {
  readonly backend: "webgpu" | "wasm";
  readonly sync: () => Promise<void>;
  /** Embed by a product with one-hot rows. */
  readonly oneHotEmbedding?: boolean;
}

type Results = Readonly<Record<string, tf.Tensor>>;

const upload = <R extends tf.Rank = tf.Rank>({ data, shape }: Floats | Ints) =>
  tf.tensor<R>(data, shape as tf.ShapeMap[R], data instanceof Int32Array ? "int32" : "float32");
const uploadAll = <K extends string>(arrays: Readonly<Record<K, Floats>>) =>
  Object.fromEntries(Object.entries<Floats>(arrays).map(([name, array]) => [name, upload(array)])) as Record<
    K,
    tf.Tensor
  >;

const masks = new Map<number, tf.Tensor>();
function causalMask(length: number): tf.Tensor {
  const values = Float32Array.from({ length: length ** 2 }, (_, i) => (i % length > Math.floor(i / length) ? -1e9 : 0));
  const mask = masks.get(length) ?? tf.keep(tf.tensor(values, [1, 1, length, length]));
  masks.set(length, mask);
  return mask;
}

function attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor {
  const [length, width] = q.shape.slice(-2);
  const scores = tf.matMul(q, k, false, true).mul(1 / Math.sqrt(width));
  return tf.matMul(tf.softmax(scores.add(causalMask(length))), v);
}

function layerNorm(x: tf.Tensor, gain: tf.Tensor, bias: tf.Tensor, eps: number): tf.Tensor {
  const centered = x.sub(x.mean(-1, true));
  return centered.mul(centered.square().mean(-1, true).add(eps).rsqrt()).mul(gain).add(bias);
}

function gelu(x: tf.Tensor): tf.Tensor {
  const inner = x
    .mul(x)
    .mul(x)
    .mul(0.044715)
    .add(x)
    .mul(Math.sqrt(2 / Math.PI));
  return x.mul(0.5).mul(tf.tanh(inner).add(1));
}

function lstmCell(z: tf.Tensor, c: tf.Tensor): [h: tf.Tensor, c: tf.Tensor] {
  const [i, f, g, o] = tf.split(z, 4, 1);
  const next = tf
    .sigmoid(f)
    .mul(c)
    .add(tf.sigmoid(i).mul(tf.tanh(g)));
  return [tf.sigmoid(o).mul(tf.tanh(next)), next];
}

function wkv([w, k, v, u]: readonly tf.Tensor[]): tf.Tensor {
  const [B, , C] = k.shape;
  const [ks, vs] = [tf.unstack(k, 1), tf.unstack(v, 1)];
  let [a, b, p]: tf.Tensor[] = [tf.zeros([B, C]), tf.zeros([B, C]), tf.fill([B, C], -1e30)];
  const steps = ks.map((kt, t) => {
    const merged = (pp: tf.Tensor, kk: tf.Tensor) => {
      const most = tf.maximum(pp, kk);
      const [before, now] = [pp.sub(most).exp(), kk.sub(most).exp()];
      return [before.mul(a).add(now.mul(vs[t])), before.mul(b).add(now), most];
    };
    const [above, below] = merged(p, u.add(kt));
    [a, b, p] = merged(p.add(w), kt);
    return above.div(below);
  });
  return tf.stack(steps, 1);
}

const crossEntropy = (oneHot: tf.Tensor, logits: tf.Tensor): tf.Scalar => tf.losses.softmaxCrossEntropy(oneHot, logits);
const oneHot = (ids: Int32Array<ArrayBuffer>, depth: number): tf.Tensor =>
  tf.oneHot(tf.tensor1d(ids, "int32"), depth).toFloat();

/** Rows of the trained table, by whichever way the back end can differentiate. */
function embedder(
  ids: Int32Array<ArrayBuffer>,
  depth: number,
  { oneHotEmbedding }: Options,
): (table: tf.Tensor) => tf.Tensor {
  if (oneHotEmbedding) {
    const rows = oneHot(ids, depth);
    return (table) => tf.matMul(rows as tf.Tensor2D, table as tf.Tensor2D);
  }
  const indices = tf.tensor1d(ids, "int32");
  return (table) => tf.gather(table, indices);
}

/** One Adam step a call on variables made of the workload's parameters. */
function trainer<K extends string>(
  parameters: Readonly<Record<K, Floats>>,
  loss: (p: Readonly<Record<K, tf.Tensor>>) => tf.Scalar,
): () => Results {
  const variables = Object.fromEntries(
    Object.entries<Floats>(parameters).map(([name, array]) => [name, tf.variable(upload(array))]),
  ) as Record<K, tf.Variable>;
  const optimizer = tf.train.adam(ADAM.lr, ADAM.beta1, ADAM.beta2, ADAM.eps);
  return () => ({ loss: optimizer.minimize(() => tf.tidy(() => loss(variables)), true) as tf.Scalar });
}

function lstmTraining({ sizes, inputs, parameters }: LstmTrain, options: Options): () => Results {
  const { B, T, H, V } = sizes;
  const stepwise = ({ data }: Ints) => Int32Array.from(data, (_, i) => data[(i % B) * T + Math.floor(i / B)]);
  const embed = embedder(stepwise(inputs.ids), V, options);
  const targets = oneHot(stepwise(inputs.targets), V);
  return trainer({ ...parameters }, (p) => {
    const sums = tf.unstack(
      tf
        .matMul(embed(p.emb), p.wx)
        .add(p.b)
        .reshape([T, B, 4 * H]),
      0,
    );
    let [h, c]: tf.Tensor[] = [tf.zeros([B, H]), tf.zeros([B, H])];
    const states = sums.map((sum) => {
      [h, c] = lstmCell(sum.add(tf.matMul(h, p.wh)), c);
      return h;
    });
    return crossEntropy(targets, tf.matMul(tf.concat(states, 0), p.wo).add(p.bo));
  });
}

function gptTraining({ sizes, inputs, parameters }: GptTrain, options: Options): () => Results {
  const { B, T, C, L, NH, V } = sizes;
  const embed = embedder(inputs.ids.data, V, options);
  const targets = oneHot(inputs.targets.data, V);
  return trainer(parameters, (p) => {
    let x: tf.Tensor = embed(p.tok)
      .reshape([B, T, C])
      .add(p.pos)
      .reshape([B * T, C]);
    for (let layer = 0; layer < L; layer++) {
      const own = (name: string) => p[`l${layer}_${name}`];
      const projected = tf.matMul(layerNorm(x, own("ln1g"), own("ln1b"), 1e-5), own("wqkv")).add(own("bqkv"));
      const [q, k, v] = tf.unstack(tf.transpose(projected.reshape([B, T, 3, NH, C / NH]), [2, 0, 3, 1, 4]), 0);
      const mixed = tf.transpose(attention(q, k, v), [0, 2, 1, 3]).reshape([B * T, C]);
      x = x.add(tf.matMul(mixed, own("wo")).add(own("bo")));
      const inner = gelu(tf.matMul(layerNorm(x, own("ln2g"), own("ln2b"), 1e-5), own("w1")).add(own("b1")));
      x = x.add(tf.matMul(inner, own("w2")).add(own("b2")));
    }
    return crossEntropy(targets, tf.matMul(layerNorm(x, p.lnfg, p.lnfb, 1e-5), p.head));
  });
}

function generation({ sizes, inputs, parameters }: LstmGenerate): () => Results | Promise<Results> {
  const { H, N, V, start, readBack } = sizes;
  const p = uploadAll({ ...parameters });
  const next = (token: tf.Tensor1D, h: tf.Tensor, c: tf.Tensor) => {
    const state = lstmCell(tf.matMul(tf.gather(p.emb, token), p.wx).add(p.b).add(tf.matMul(h, p.wh)), c);
    return [...state, tf.matMul(state[0], p.wo).add(p.bo)];
  };
  if (!readBack) {
    const noise = tf.unstack(upload(inputs.noise).reshape([N, 1, V]), 0);
    return () => ({
      tokens: tf.tidy(() => {
        let [h, c, logits]: tf.Tensor[] = [tf.zeros([1, H]), tf.zeros([1, H])];
        let token = tf.tensor1d([start], "int32");
        const tokens = noise.map((row) => {
          [h, c, logits] = next(token, h, c);
          token = tf.argMax(logits.add(row), 1);
          return token;
        });
        return tf.concat(tokens, 0);
      }),
    });
  }
  return async () => {
    let [h, c]: tf.Tensor[] = [tf.zeros([1, H]), tf.zeros([1, H])];
    const tokens = new Int32Array(N);
    for (let n = 0, token = start; n < N; n++) {
      const [nextH, nextC, logits] = tf.tidy(() => next(tf.tensor1d([token], "int32"), h, c));
      tf.dispose([h, c]);
      [h, c] = [nextH, nextC];
      const scores = (await logits.data<"float32">()).map((logit, id) => logit + inputs.noise.data[n * V + id]);
      logits.dispose();
      token = scores.indexOf(Math.max(...scores));
      tokens[n] = token;
    }
    tf.dispose([h, c]);
    return { tokens: tf.tensor1d(tokens, "int32") };
  };
}

function weightedSum({ inputs, sizes }: Wkv): () => Results {
  const { w, k, v, u, dout } = uploadAll({ ...inputs });
  const run = (...operands: tf.Tensor[]) => wkv(operands);
  if (!sizes.backward) return () => ({ y: tf.tidy(() => wkv([w, k, v, u])) });
  return () => {
    const [dw, dk, dv, du] = tf.tidy(() => tf.grads(run)([w, k, v, u], dout));
    return { dw, du, dk, dv };
  };
}

function calculation(workload: Workload, options: Options): () => Results | Promise<Results> {
  switch (workload.kind) {
    case "matmul": {
      const { a, b } = uploadAll({ ...workload.inputs });
      return () => ({ y: tf.matMul(a, b) });
    }
    case "softmax": {
      const x = upload(workload.inputs.x);
      return () => ({ y: tf.softmax(x) });
    }
    case "layernorm": {
      const { x, g, b } = uploadAll({ ...workload.inputs });
      return () => ({ y: tf.tidy(() => layerNorm(x, g, b, workload.sizes.eps)) });
    }
    case "crossEntropy": {
      const x = upload(workload.inputs.x);
      const ids = upload<tf.Rank.R1>(workload.inputs.targets);
      return () => {
        const { value, grad } = tf.tidy(() => {
          const targets = tf.oneHot(ids, workload.sizes.V).toFloat();
          return tf.valueAndGrad((logits) => crossEntropy(targets, logits))(x);
        });
        return { loss: value, dx: grad };
      };
    }
    case "attention": {
      const { q, k, v, dout } = uploadAll({ ...workload.inputs });
      if (!workload.sizes.backward) return () => ({ y: tf.tidy(() => attention(q, k, v)) });
      const run = (...[q, k, v]: tf.Tensor[]) => attention(q, k, v);
      return () => {
        const [dq, dk, dv] = tf.tidy(() => tf.grads(run)([q, k, v], dout));
        return { dq, dk, dv };
      };
    }
    case "wkv":
      return weightedSum(workload);
    case "lstmTrain":
      return lstmTraining(workload, options);
    case "gptTrain":
      return gptTraining(workload, options);
    case "lstmGenerate":
      return generation(workload);
  }
}

export function tfjsEngine(options: Options): Engine {
  return {
    unsupported: () => null,
    async prepare(workload): Promise<Work> {
      if (!(await tf.setBackend(options.backend))) throw new Error(`tfjs: there is no back end ${options.backend}`);
      await tf.ready();
      const calculate = calculation(workload, options);
      let results: Results = {};
      await options.sync();
      return {
        async step() {
          const next = await calculate();
          tf.dispose(Object.values(results));
          results = next;
        },
        sync: options.sync,
        async read() {
          const entries = Object.entries(results).map(async ([name, tensor]) => [name, await tensor.data()]);
          return Object.fromEntries(await Promise.all(entries));
        },
        dispose: () => tf.disposeVariables(),
      };
    },
  };
}
