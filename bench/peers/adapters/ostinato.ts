/** This engine, used as its README says: a step is captured once, in the first step, and replayed. */
import { backward } from "../../../src/autograd/backward.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { openDevice } from "../../../src/gpu/open.ts";
import type { Plan } from "../../../src/gpu/plan.ts";
import { RecurrentLanguageModel } from "../../../src/models/recurrent.ts";
import { argmax } from "../../../src/ops/argmax.ts";
import { add } from "../../../src/ops/binary.ts";
import { crossEntropy } from "../../../src/ops/crossEntropy.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { layerNorm } from "../../../src/ops/norm.ts";
import { softmax } from "../../../src/ops/softmax.ts";
import { Adam } from "../../../src/optim/adam.ts";
import { capture } from "../../../src/tensor/capture.ts";
import { tensor } from "../../../src/tensor/create.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { Engine, Work } from "../page/engine.ts";
import {
  ADAM,
  type Floats,
  type Ints,
  type LstmGenerate,
  type LstmParameters,
  type LstmTrain,
  type Workload,
} from "../workloads.ts";

/** Tensors by the name of the result they hold; a result may come in parts. */
type Results = Readonly<Record<string, Tensor | readonly Tensor[]>>;

/**
 * Work that is one captured call.
 * @param begin runs once, in the first step, and returns what to capture
 */
function replayed(device: Device, begin: () => () => Results): Work {
  let plan: Plan<Results> | undefined;
  return {
    async step() {
      plan ??= await capture(device, begin());
      plan.replay();
    },
    sync: () => device.sync(),
    async read() {
      const named = Object.entries(plan?.outputs ?? {}).map(async ([name, result]) => {
        const parts = await Promise.all([result].flat().map((part) => part.data()));
        return [name, parts.flatMap((part) => [...part])] as const;
      });
      return Object.fromEntries(await Promise.all(named));
    },
    dispose: () => device.destroy(),
  };
}

/** PyTorch's layout of the workload's (in, out) weights; the workload's one bias is the input's, the other stays 0. */
function lstm(
  device: Device,
  { V, E, H }: { V: number; E: number; H: number },
  p: LstmParameters,
): RecurrentLanguageModel {
  const sizes = { vocabSize: V, embeddingSize: E, hiddenSize: H, numLayers: 1, dropout: 0 };
  const model = new RecurrentLanguageModel(device, { kind: "lstm", ...sizes });
  const transposed = ({ shape: [rows, columns], data }: Floats) => ({
    shape: [columns, rows],
    values: Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]),
  });
  const same = ({ shape, data }: Floats) => ({ shape, values: data });
  model.loadStateDict(
    new Map([
      ["encoder.weight", same(p.emb)],
      ["rnn.weight_ih_l0", transposed(p.wx)],
      ["rnn.weight_hh_l0", transposed(p.wh)],
      ["rnn.bias_ih_l0", same(p.b)],
      ["rnn.bias_hh_l0", { shape: [4 * H], values: new Float32Array(4 * H) }],
      ["decoder.weight", transposed(p.wo)],
      ["decoder.bias", same(p.bo)],
    ]),
  );
  return model;
}

function lstmTraining(device: Device, { sizes, inputs, parameters }: LstmTrain): Work {
  const model = lstm(device, sizes, parameters);
  const trained: Tensor<"f32">[] = [];
  for (const [name, parameter] of model.namedParameters()) {
    parameter.requiresGrad = name !== "rnn.bias_hh_l0";
    if (parameter.requiresGrad) trained.push(parameter);
  }
  const { lr, beta1, beta2, eps } = ADAM;
  const optimizer = new Adam(trained, { lr, betas: [beta1, beta2], eps });
  const [ids, targets] = [inputs.ids, inputs.targets].map(({ data, shape }) => tensor(device, data, shape));
  return replayed(device, () => () => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(ids).logits, targets);
    backward(loss);
    optimizer.step();
    return { loss };
  });
}

/** Every token is drawn on the device and feeds the next step there. */
function lstmOnDevice(device: Device, { sizes, inputs, parameters }: LstmGenerate): Work {
  const model = lstm(device, sizes, parameters);
  const { N, V, start } = sizes;
  const state = model.initialState(1);
  const first = tensor(device, new Uint32Array([start]));
  const noise = Array.from({ length: N }, (_, n) =>
    tensor(device, inputs.noise.data.slice(n * V, (n + 1) * V), [1, V]),
  );
  return replayed(device, () => {
    const decoder = model.decoder();
    return () => {
      let [token, now] = [first, state];
      const tokens = noise.map((row) => {
        const next = decoder.step(token, now);
        now = next.state;
        token = argmax(add(next.logits, row));
        return token;
      });
      return { tokens };
    };
  });
}

/** The logits of every token are read, and the host draws the next one. */
function lstmWithReadBacks(device: Device, { sizes, inputs, parameters }: LstmGenerate): Work {
  const model = lstm(device, sizes, parameters);
  const { N, V, start } = sizes;
  const noise = inputs.noise.data;
  const state = model.initialState(1);
  const token = tensor(device, new Uint32Array([start]));
  let plan: Plan<{ logits: Tensor<"f32"> }> | undefined;
  let tokens: number[] = [];
  return {
    async step() {
      if (!plan) {
        const decoder = model.decoder();
        plan = await capture(device, () => {
          const next = decoder.step(token, state);
          state.assign(next.state);
          return { logits: next.logits };
        });
      }
      state.reset();
      token.write([start]);
      tokens = [];
      for (let n = 0; n < N; n++) {
        plan.replay();
        const scores = (await plan.outputs.logits.data()).map((logit, id) => logit + noise[n * V + id]);
        const drawn = scores.indexOf(Math.max(...scores));
        tokens.push(drawn);
        token.write([drawn]);
      }
    },
    sync: () => device.sync(),
    read: async () => ({ tokens }),
    dispose: () => device.destroy(),
  };
}

function prepare(device: Device, workload: Workload): Work {
  const upload = ({ data, shape }: Floats) => tensor(device, data, shape);
  const uploadIds = ({ data, shape }: Ints) => tensor(device, data, shape);
  switch (workload.kind) {
    case "matmul": {
      const [a, b] = [upload(workload.inputs.a), upload(workload.inputs.b)];
      return replayed(device, () => () => ({ y: matmul(a, b) }));
    }
    case "softmax": {
      const x = upload(workload.inputs.x);
      return replayed(device, () => () => ({ y: softmax(x) }));
    }
    case "layernorm": {
      const [x, gain, bias] = [workload.inputs.x, workload.inputs.g, workload.inputs.b].map(upload);
      return replayed(device, () => () => ({ y: layerNorm(x, gain, bias, workload.sizes.eps) }));
    }
    case "crossEntropy": {
      const x = upload(workload.inputs.x);
      const targets = uploadIds(workload.inputs.targets);
      x.requiresGrad = true;
      return replayed(device, () => () => {
        const loss = crossEntropy(x, targets);
        backward(loss);
        return { loss, dx: x.grad as Tensor };
      });
    }
    case "lstmTrain":
      return lstmTraining(device, workload);
    case "lstmGenerate":
      return workload.sizes.readBack ? lstmWithReadBacks(device, workload) : lstmOnDevice(device, workload);
    default:
      throw new Error(`ostinato: ${workload.kind} has no adapter`);
  }
}

const LATER = {
  attention: "no adapter runs attention yet",
  gptTrain: "no adapter trains the Transformer yet",
  wkv: "no adapter runs the RWKV recurrence yet",
} as const;

export const engine: Engine = {
  unsupported: ({ kind }) => (kind in LATER ? LATER[kind as keyof typeof LATER] : null),
  prepare: async (workload) => prepare(await openDevice(), workload),
};
