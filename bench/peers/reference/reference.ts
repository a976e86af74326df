import { ADAM, CHECKED_STEPS, type Floats, type GptTrain, type LstmTrain, type Workload } from "../workloads.ts";
import { attention, gptLoss, lstmLoss, lstmTokens, wkv } from "./models.ts";
import * as rows from "./rows.ts";
import type { Value } from "./tape.ts";
import * as t from "./tape.ts";

/** What an engine's outputs are held against. */
export type Reference = Readonly<Record<string, Float64Array>>;

function leaves<K extends string>(arrays: Readonly<Record<K, Floats>>): Record<K, Value> {
  const made = Object.entries<Floats>(arrays).map(([name, array]) => [name, t.leaf(array)]);
  return Object.fromEntries(made) as Record<K, Value>;
}

/** Losses of the first steps of Adam (Kingma and Ba 2014). */
function trainingLosses(loss: (parameters: Record<string, Value>) => Value, workload: LstmTrain | GptTrain) {
  const parameters: Record<string, Value> = leaves({ ...workload.parameters } as Record<string, Floats>);
  const moments = Object.values(parameters).map((parameter) => ({
    parameter,
    m: new Float64Array(parameter.data.length),
    v: new Float64Array(parameter.data.length),
  }));
  const { lr, beta1, beta2, eps } = ADAM;
  return Float64Array.from({ length: CHECKED_STEPS }, (_, step) => {
    t.forgetTape();
    for (const { parameter } of moments) parameter.forgetGrad();
    const value = loss(parameters);
    t.backward(value, [1]);
    const [correct1, correct2] = [1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1)];
    for (const { parameter, m, v } of moments) {
      for (const [i, g] of parameter.grad.entries()) {
        m[i] = beta1 * m[i] + (1 - beta1) * g;
        v[i] = beta2 * v[i] + (1 - beta2) * g * g;
        parameter.data[i] -= (lr * (m[i] / correct1)) / (Math.sqrt(v[i] / correct2) + eps);
      }
    }
    return value.data[0];
  });
}

/** The workload's results in float64. */
export function reference(workload: Workload): Reference {
  t.forgetTape();
  switch (workload.kind) {
    case "matmul": {
      const { a, b } = leaves(workload.inputs);
      return { y: t.matmul(a, b).data };
    }
    case "softmax":
      return { y: rows.softmax(leaves(workload.inputs).x).data };
    case "layernorm": {
      const { x, g, b } = leaves(workload.inputs);
      return { y: rows.layerNorm(x, g, b, workload.sizes.eps).data };
    }
    case "crossEntropy": {
      const x = t.leaf(workload.inputs.x);
      const loss = rows.crossEntropy(x, workload.inputs.targets.data);
      t.backward(loss, [1]);
      return { loss: loss.data, dx: x.grad };
    }
    case "attention": {
      const { q, k, v, dout } = leaves(workload.inputs);
      const y = attention(q, k, v);
      if (!workload.sizes.backward) return { y: y.data };
      t.backward(y, dout.data);
      return { dq: q.grad, dk: k.grad, dv: v.grad };
    }
    case "wkv": {
      const inputs = leaves(workload.inputs);
      const y = wkv(inputs, workload);
      if (!workload.sizes.backward) return { y: y.data };
      t.backward(y, inputs.dout.data);
      return { dw: inputs.w.grad, du: inputs.u.grad, dk: inputs.k.grad, dv: inputs.v.grad };
    }
    case "lstmTrain":
      return { losses: trainingLosses((p) => lstmLoss(p as Parameters<typeof lstmLoss>[0], workload), workload) };
    case "gptTrain":
      return { losses: trainingLosses((p) => gptLoss(p, workload), workload) };
    case "lstmGenerate":
      return { tokens: Float64Array.from(lstmTokens(leaves({ ...workload.parameters }), workload)) };
  }
}
