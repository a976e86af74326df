/** This engine, used as its README says: a step is captured once, in the first step, and replayed. */
import { backward } from "../../../src/autograd/backward.ts";
import type { Device } from "../../../src/gpu/device.ts";
import { openDevice } from "../../../src/gpu/open.ts";
import type { Plan } from "../../../src/gpu/plan.ts";
import type { LanguageModel } from "../../../src/models/language.ts";
import { argmax } from "../../../src/ops/argmax.ts";
import { attention } from "../../../src/ops/attention/attention.ts";
import { add, mul } from "../../../src/ops/binary.ts";
import { crossEntropy } from "../../../src/ops/crossEntropy.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { layerNorm } from "../../../src/ops/norm.ts";
import { softmax } from "../../../src/ops/softmax.ts";
import { wkv4 } from "../../../src/ops/wkv/wkv4.ts";
import { Adam } from "../../../src/optim/adam.ts";
import { capture } from "../../../src/tensor/capture.ts";
import { tensor } from "../../../src/tensor/create.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { Engine, Work } from "../page/engine.ts";
import {
  ADAM,
  type Attention,
  type Floats,
  type GptTrain,
  type Ints,
  type LstmGenerate,
  type LstmTrain,
  type Wkv,
  type Workload,
} from "../workloads.ts";
import { gpt, lstm } from "./ostinato-models.ts";

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

/** One Adam step of a language model a call. */
function training(
  device: Device,
  model: LanguageModel,
  trained: readonly Tensor<"f32">[],
  inputs: Readonly<Record<"ids" | "targets", Ints>>,
): Work {
  const { lr, beta1, beta2, eps } = ADAM;
  const optimizer = new Adam(trained, { lr, betas: [beta1, beta2], eps });
  const [ids, targets] = [inputs.ids, inputs.targets].map(({ data, shape }) => tensor(device, data, shape)) as [
    Tensor,
    Tensor,
  ];
  return replayed(device, () => () => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(ids).logits, targets);
    backward(loss);
    optimizer.step();
    return { loss };
  });
}

function lstmTraining(device: Device, { sizes, inputs, parameters }: LstmTrain): Work {
  const model = lstm(device, sizes, parameters);
  const trained: Tensor<"f32">[] = [];
  for (const [name, parameter] of model.namedParameters()) {
    parameter.requiresGrad = name !== "rnn.bias_hh_l0";
    if (parameter.requiresGrad) trained.push(parameter);
  }
  return training(device, model, trained, inputs);
}

function uploaded<Name extends string>(device: Device, inputs: Readonly<Record<Name, Floats>>) {
  const entries = Object.entries<Floats>(inputs).map(([name, { data, shape }]) => [name, tensor(device, data, shape)]);
  return Object.fromEntries(entries) as Record<Name, Tensor<"f32">>;
}

function attending(device: Device, { sizes, inputs }: Attention): Work {
  const { q, k, v, dout } = uploaded(device, inputs);
  const leaves = [q, k, v];
  for (const x of leaves) x.requiresGrad = sizes.backward;
  return replayed(device, () => (): Results => {
    const y = attention(q, k, v, { causal: true });
    if (!sizes.backward) return { y };
    backward(y, dout);
    const [dq, dk, dv] = leaves.map(({ grad }) => grad as Tensor) as [Tensor, Tensor, Tensor];
    return { dq, dk, dv };
  });
}

/** RWKV's parameter is not w but log(-w), whose gradient is w times that of w. */
function weightedSums(device: Device, { sizes, inputs }: Wkv): Work {
  const { w, ...others } = inputs;
  const { u, k, v, dout, decay, perW } = uploaded(device, {
    ...others,
    decay: { ...w, data: w.data.map((value) => Math.log(-value)) },
    perW: { ...w, data: w.data.map((value) => 1 / value) },
  });
  for (const x of [decay, u, k, v]) x.requiresGrad = sizes.backward;
  return replayed(device, () => (): Results => {
    const { y } = wkv4(decay, u, k, v);
    if (!sizes.backward) return { y };
    backward(y, dout);
    const [ddecay, du, dk, dv] = [decay, u, k, v].map(({ grad }) => grad as Tensor) as [Tensor, Tensor, Tensor, Tensor];
    return { dw: mul(ddecay, perW), du, dk, dv };
  });
}

function gptTraining(device: Device, workload: GptTrain): Work {
  const model = gpt(device, workload);
  return training(device, model, model.parameters(), workload.inputs);
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
    case "attention":
      return attending(device, workload);
    case "wkv":
      return weightedSums(device, workload);
    case "lstmTrain":
      return lstmTraining(device, workload);
    case "gptTrain":
      return gptTraining(device, workload);
    case "lstmGenerate":
      return workload.sizes.readBack ? lstmWithReadBacks(device, workload) : lstmOnDevice(device, workload);
  }
}

export const engine: Engine = {
  unsupported: () => null,
  prepare: async (workload) => prepare(await openDevice(), workload),
};
