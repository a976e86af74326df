import { backward } from "../../../src/autograd/backward.ts";
import { noGrad } from "../../../src/autograd/mode.ts";
import { Session } from "../../../src/generate/session.ts";
import type { LanguageModel, ModelConfig } from "../../../src/models/language.ts";
import { createModel } from "../../../src/models/registry.ts";
import type { StateDict } from "../../../src/nn/module.ts";
import { crossEntropy } from "../../../src/ops/crossEntropy.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import { AdamW } from "../../../src/optim/adam.ts";
import type { ParameterGroup } from "../../../src/optim/groups.ts";
import { constantLr, type Schedule } from "../../../src/optim/schedule.ts";
import { tensor } from "../../../src/tensor/create.ts";
import { keep, scope } from "../../../src/tensor/scope.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { Batches } from "../../../src/text/batches.ts";
import type { StepRecord } from "../../../src/train/history.ts";
import { Trainer } from "../../../src/train/trainer.ts";
import { type FixtureCase, type Kind, NotCovered } from "../kind.ts";

/** Configurations by the fixture's name of the architecture. */
const configs: Record<string, (arch: Record<string, number>, vocabSize: number) => ModelConfig> = {
  gpt2: ({ C: channels = 0, heads = 0, layers: numLayers = 0, block_size: contextLength = 0 }, vocabSize) => ({
    kind: "transformer",
    ...{ vocabSize, channels, heads, numLayers, contextLength, dropout: 0 },
  }),
  rwkv4: (arch, vocabSize) => rwkv("rwkv4", arch, vocabSize),
  "rwkv5.2": (arch, vocabSize) => rwkv("rwkv5.2", arch, vocabSize),
  rwkv6: (arch, vocabSize) => rwkv("rwkv6", arch, vocabSize),
  rwkv7: (arch, vocabSize) => rwkv("rwkv7", arch, vocabSize),
  retnet: (
    { C: channels = 0, Cv: valueChannels = 0, heads = 0, layers: numLayers = 0, F: hiddenSize = 0 },
    vocabSize,
  ) => ({
    kind: "retnet",
    ...{ vocabSize, channels, valueChannels, heads, numLayers, hiddenSize },
  }),
  mamba: ({ d_model: channels = 0, d_state: stateSize = 0, layers: numLayers = 0 }, vocabSize) => ({
    kind: "mamba",
    ...{ vocabSize, channels, stateSize, numLayers },
  }),
  LSTM: (arch, vocabSize) => recurrent("lstm", arch, vocabSize),
  GRU: (arch, vocabSize) => recurrent("gru", arch, vocabSize),
  RNN_TANH: (arch, vocabSize) => recurrent("rnn", arch, vocabSize),
};

function rwkv(kind: string, arch: Record<string, number>, vocabSize: number): ModelConfig {
  const { C: channels = 0, heads = 1, layers: numLayers = 0, F: hiddenSize = 0, ln_x_eps: headEps = 0 } = arch;
  const low: Record<string, number> = kind === "rwkv6" ? { mixRank: 8, decayRank: 8 } : {};
  const ranks: Record<string, number> =
    kind === "rwkv7" ? { decayRank: 8, rateRank: 8, valueRank: 8, gateRank: 8 } : low;
  return { kind, vocabSize, channels, heads, numLayers, hiddenSize, headEps, ...ranks };
}

function recurrent(kind: string, arch: Record<string, number>, vocabSize: number): ModelConfig {
  const { embed = 0, hidden = 0, layers = 0 } = arch;
  return { kind, vocabSize, embeddingSize: embed, hiddenSize: hidden, numLayers: layers, dropout: 0 };
}

async function buildModel(fixture: FixtureCase): Promise<LanguageModel> {
  const { arch, V } = fixture.attrs;
  const config = configs[arch.kind];
  if (!config) throw new NotCovered(`no language model is called ${arch.kind}`);
  const model = createModel(fixture.device, config(arch, V));
  const state = new Map();
  for (const name of fixture.names) {
    if (!name.startsWith("param.")) continue;
    const short = name.slice("param.".length);
    const values = await fixture.param(short).data();
    state.set(short, { shape: fixture.param(short).shape, values });
  }
  model.loadStateDict(state as StateDict);
  return model;
}

/** Tokens of a greedy continuation with its prompt. */
const GREEDY_LENGTH = 24;

/** The windows that the fixture trains on, step by step. */
function windows(stream: Int32Array, offsets: Int32Array, batchSize: number, seqLength: number): Batches {
  let step = 0;
  const rows = (shift: number) =>
    Int32Array.from({ length: batchSize * seqLength }, (_, i) => {
      const offset = offsets[step * batchSize + Math.floor(i / seqLength)] as number;
      return stream[offset + (i % seqLength) + shift] as number;
    });
  return {
    batchSize,
    seqLength,
    next() {
      const batch = { inputs: rows(0), targets: rows(1), reset: true };
      step++;
      return batch;
    },
    state: () => ({ kind: "random", tokens: stream.length, batchSize, seqLength, position: step }),
    restore: () => {},
  };
}

/** Logits, loss and gradients of the first batch, before clipping. */
function firstBatch(model: LanguageModel, batches: Batches): Record<string, Tensor> {
  const { batchSize, seqLength } = batches;
  const { inputs, targets } = batches.next();
  return scope(() => {
    const { logits } = model.forward(tensor(model.device, inputs, [batchSize, seqLength]));
    const loss = crossEntropy(reshape(logits, [-1, model.config.vocabSize]), tensor(model.device, targets));
    backward(loss);
    const outputs: Record<string, Tensor> = { logits0: logits, loss0: loss };
    for (const [name, parameter] of model.namedParameters()) {
      if (!parameter.gradSlot) continue;
      outputs[`grad.${name}`] = parameter.gradSlot;
      parameter.gradSlot = null;
      parameter.gradValid = false;
    }
    for (const output of Object.values(outputs)) output.requiresGrad = false;
    return outputs;
  });
}

function groupsOf(model: LanguageModel, decay: number, rule: string): ParameterGroup[] {
  const parameters = model.parameters();
  const decays = (parameter: Tensor) => rule === "all" || parameter.shape.length >= 2;
  return [
    { parameters: parameters.filter(decays), weightDecay: decay },
    { parameters: parameters.filter((parameter) => !decays(parameter)), weightDecay: 0 },
  ].filter((group) => group.parameters.length > 0);
}

export const kinds: Record<string, Kind> = {
  lm_training: async (fixture) => {
    const { attrs, device } = fixture;
    const model = await buildModel(fixture);
    const stream = (await fixture.in("stream").data()) as Int32Array;
    const offsets = (await fixture.in("offsets").data()) as Int32Array;
    const outputs = firstBatch(model, windows(stream, offsets, attrs.B, attrs.T));
    const optimizer = new AdamW(groupsOf(model, attrs.weight_decay, attrs.decay_rule), {
      lr: attrs.lr,
      betas: attrs.betas,
      eps: attrs.eps,
      maxNorm: attrs.clip,
    });
    const rates: number[] | null = attrs.lr_list;
    const changing =
      rates &&
      Object.assign((step: number) => rates[step] as number, { description: { kind: "constant" as const, lr: 0 } });
    const schedule: Schedule = changing || constantLr(attrs.lr);
    const records: StepRecord[] = [];
    const trainer = new Trainer({
      model,
      optimizer,
      schedule,
      batches: windows(stream, offsets, attrs.B, attrs.T),
      onReport: (report) => records.push(...report.records),
    });
    await trainer.run(attrs.steps);
    outputs.loss_curve = tensor(
      device,
      records.map(({ loss }) => loss),
    );
    outputs.grad_norms = tensor(
      device,
      records.map(({ gradNorm }) => gradNorm),
    );
    outputs.greedy = await greedy(model, stream, attrs.greedy_prompt_len);
    trainer.dispose();
    optimizer.dispose();
    noGrad(() => {
      for (const [name, parameter] of model.namedParameters()) {
        parameter.requiresGrad = false;
        outputs[`final.${name}`] = keep(parameter);
      }
    });
    return outputs;
  },
};

/** The prompt, the first tokens of the stream, with its continuation by the most likely tokens. */
async function greedy(model: LanguageModel, stream: Int32Array, promptLength: number): Promise<Tensor> {
  const session = new Session(model);
  const prompt = Int32Array.from(stream.subarray(0, promptLength));
  session.feed(prompt);
  const ids = [...prompt];
  for await (const id of session.generate({ maxTokens: GREEDY_LENGTH - promptLength, temperature: 0 })) ids.push(id);
  session.dispose();
  return tensor(model.device, Int32Array.from(ids));
}
