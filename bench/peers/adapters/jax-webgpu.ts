/**
 * jax-js: every step is one jitted function. It has no scan, so recurrences are unrolled in the trace. An operation
 * consumes its operands; `.ref` keeps one for another use.
 */
import * as jax from "@jax-js/jax";
import type { Engine, Work } from "../page/engine.ts";
import {
  ADAM,
  type Floats,
  type Ints,
  type LstmGenerate,
  type LstmTrain,
  type Outputs,
  type Workload,
} from "../workloads.ts";
import {
  type Array_,
  attention,
  crossEntropy,
  gptLoss,
  layerNorm,
  lstmCell,
  lstmLoss,
  type Named,
  swapHeads,
  wkv,
} from "./jax-models.ts";

const { blockUntilReady, grad, jit, nn, numpy: np, tree, valueAndGrad } = jax;
/** Arrays on the device, or values that already came back. */
type Results = Record<string, Array_ | Float32Array>;

const isArray = (result: Array_ | Float32Array): result is Array_ => !(result instanceof Float32Array);
const upload = ({ data, shape }: Floats | Ints): Array_ => np.array(data).reshape([...shape]);
const uploadAll = (arrays: Readonly<Record<string, Floats | Ints>>): Named =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, upload(array)]));

/** Adam inside the jitted function, so that a training step is one call. */
function trainer(
  loss: (p: Named, ids: Array_, targets: Array_) => Array_,
  initial: Readonly<Record<string, Floats>>,
  ids: Array_,
  targets: Array_,
): () => Results {
  const { lr, beta1, beta2, eps } = ADAM;
  const update = jit((p: Named, m: Named, v: Named, t: Array_, ids: Array_, targets: Array_) => {
    const [value, g] = valueAndGrad(loss)(tree.ref(p), ids, targets) as [Array_, Named];
    const next: [Named, Named, Named] = [{}, {}, {}];
    const correct = [beta1, beta2].map((beta) =>
      np
        .exp(t.ref.mul(Math.log(beta)))
        .neg()
        .add(1),
    );
    t.dispose();
    for (const name of Object.keys(p)) {
      const first = m[name].mul(beta1).add(g[name].ref.mul(1 - beta1));
      const second = v[name].mul(beta2).add(np.square(g[name]).mul(1 - beta2));
      const root = np.sqrt(second.ref.div(correct[1].ref)).add(eps);
      next[0][name] = p[name].sub(first.ref.div(correct[0].ref).mul(lr).div(root));
      next[1][name] = first;
      next[2][name] = second;
    }
    for (const left of correct) left.dispose();
    return [value, ...next];
  });
  let p = uploadAll(initial);
  let [m, v] = [0, 1].map(() =>
    Object.fromEntries(Object.entries(initial).map(([k, x]) => [k, np.zeros([...x.shape])])),
  );
  let steps = 0;
  return () => {
    const t = np.array(Float32Array.of(++steps)).reshape([]);
    const [value, ...next] = update(p, m, v, t, ids.ref, targets.ref) as [Array_, Named, Named, Named];
    [p, m, v] = next;
    return { loss: value };
  };
}

function lstmTraining({ sizes, inputs, parameters }: LstmTrain): () => Results {
  const { B, T } = sizes;
  const stepwise = ({ data }: Ints) => np.array(Int32Array.from(data, (_, i) => data[(i % B) * T + Math.floor(i / B)]));
  return trainer(lstmLoss(sizes), { ...parameters }, stepwise(inputs.ids), stepwise(inputs.targets));
}

function generation({ sizes, inputs, parameters }: LstmGenerate): () => Results | Promise<Results> {
  const { H, N, V, start, readBack } = sizes;
  const p = uploadAll({ ...parameters });
  const noise = inputs.noise.data;
  const next = (p: Named, token: Array_, h: Array_, c: Array_): [logits: Array_, h: Array_, c: Array_] => {
    const input = np.matmul(np.take(p.emb, token, 0), p.wx).add(p.b);
    const [nextH, nextC] = lstmCell(input.add(np.matmul(h, p.wh)), c);
    return [np.matmul(nextH.ref, p.wo).add(p.bo), nextH, nextC];
  };
  if (!readBack) {
    const draw = jit((p: Named, token: Array_, h: Array_, c: Array_, row: Array_) => {
      const [logits, ...state] = next(p, token, h, c);
      return [np.argmax(logits.add(row), 1), ...state];
    });
    const rows = Array.from({ length: N }, (_, n) => np.array(noise.slice(n * V, (n + 1) * V)).reshape([1, V]));
    return () => {
      let [token, h, c] = [np.array(Int32Array.of(start)), np.zeros([1, H]), np.zeros([1, H])];
      const tokens = rows.map((row) => {
        [token, h, c] = draw(tree.ref(p), token, h, c, row.ref);
        return token.ref;
      });
      for (const left of [token, h, c]) left.dispose();
      return { tokens: np.concatenate(tokens, 0) };
    };
  }
  const step = jit(next);
  return async () => {
    let [h, c] = [np.zeros([1, H]), np.zeros([1, H])];
    const tokens = new Float32Array(N);
    for (let n = 0, token = start; n < N; n++) {
      const [logits, ...state] = step(tree.ref(p), np.array(Int32Array.of(token)), h, c);
      [h, c] = state;
      const scores = ((await logits.data()) as Float32Array).map((logit, id) => logit + noise[n * V + id]);
      token = scores.indexOf(Math.max(...scores));
      tokens[n] = token;
    }
    h.dispose();
    c.dispose();
    return { tokens };
  };
}

function calculation(workload: Workload): () => Results | Promise<Results> {
  switch (workload.kind) {
    case "matmul": {
      const { a, b } = uploadAll({ ...workload.inputs });
      const run = jit((a: Array_, b: Array_) => np.matmul(a, b));
      return () => ({ y: run(a.ref, b.ref) });
    }
    case "softmax": {
      const x = upload(workload.inputs.x);
      const run = jit((x: Array_) => nn.softmax(x, -1));
      return () => ({ y: run(x.ref) });
    }
    case "layernorm": {
      const { x, g, b } = uploadAll({ ...workload.inputs });
      const run = jit((x: Array_, g: Array_, b: Array_) => layerNorm(x, g, b, workload.sizes.eps));
      return () => ({ y: run(x.ref, g.ref, b.ref) });
    }
    case "crossEntropy": {
      const { x, targets } = uploadAll({ ...workload.inputs });
      const run = jit((x: Array_, targets: Array_) => valueAndGrad(crossEntropy)(x, targets));
      return () => {
        const [loss, dx] = run(x.ref, targets.ref) as [Array_, Array_];
        return { loss, dx };
      };
    }
    case "attention": {
      const uploaded = Object.entries(uploadAll({ ...workload.inputs }));
      // add(0) forces the copy that a transpose puts off.
      const { q, k, v, dout } = Object.fromEntries(uploaded.map(([name, x]) => [name, swapHeads(x).add(0)]));
      if (!workload.sizes.backward) {
        const run = jit(attention);
        return () => ({ y: run(q.ref, k.ref, v.ref) });
      }
      const run = jit((q: Array_, k: Array_, v: Array_, dout: Array_) =>
        grad((q: Array_, k: Array_, v: Array_) => attention(q, k, v).mul(dout).sum(), { argnums: [0, 1, 2] })(q, k, v),
      );
      return () => {
        const [dq, dk, dv] = run(q.ref, k.ref, v.ref, dout.ref) as Array_[];
        return { dq, dk, dv };
      };
    }
    case "wkv": {
      const { w, u, k, v, dout } = uploadAll({ ...workload.inputs });
      if (!workload.sizes.backward) {
        const run = jit(wkv);
        return () => ({ y: run(w.ref, k.ref, v.ref, u.ref) });
      }
      const run = jit((w: Array_, k: Array_, v: Array_, u: Array_, dout: Array_) =>
        grad(
          (...x: [Array_, Array_, Array_, Array_]) =>
            wkv(...x)
              .mul(dout)
              .sum(),
          { argnums: [0, 1, 2, 3] },
        )(w, k, v, u),
      );
      return () => {
        const [dw, dk, dv, du] = run(w.ref, k.ref, v.ref, u.ref, dout.ref) as Array_[];
        return { dw, du, dk, dv };
      };
    }
    case "lstmTrain":
      return lstmTraining(workload);
    case "gptTrain": {
      const { ids, targets } = workload.inputs;
      return trainer(gptLoss(workload.sizes), workload.parameters, np.array(ids.data), np.array(targets.data));
    }
    case "lstmGenerate":
      return generation(workload);
  }
}

export const engine: Engine = {
  unsupported: () => null,
  async prepare(workload): Promise<Work> {
    const devices = await jax.init("webgpu");
    if (!devices.includes("webgpu")) throw new Error(`jax-js: there is no WebGPU device, only ${devices.join(", ")}`);
    jax.defaultDevice("webgpu");
    const calculate = calculation(workload);
    let results: Results = {};
    // jax-js is lazy: what is disposed before it was dispatched is never computed, so old results wait for sync().
    let old: Array_[] = [];
    return {
      async step() {
        const next = await calculate();
        old.push(...Object.values(results).filter(isArray));
        results = next;
      },
      async sync() {
        await blockUntilReady([...old, ...Object.values(results).filter(isArray)]);
        for (const array of old) array.dispose();
        old = [];
      },
      async read(): Promise<Outputs> {
        const entries = Object.entries(results).map(async ([name, result]) => {
          if (!isArray(result)) return [name, result] as const;
          const array = workload.kind === "attention" ? swapHeads(result.ref) : result.ref;
          return [name, (await array.data()) as ArrayLike<number>] as const;
        });
        return Object.fromEntries(await Promise.all(entries));
      },
      dispose: () => {},
    };
  },
};
