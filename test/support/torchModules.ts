/** The modules of test/fixtures/torch/modules.py, made here. */
import type { Device } from "../../src/gpu/device.ts";
import { toFloat32, toInt32 } from "../../src/io/convert.ts";
import type { FileTensor } from "../../src/io/format.ts";
import { parsePyTorch } from "../../src/io/pytorch/read.ts";
import { RecurrentLanguageModel } from "../../src/models/recurrent.ts";
import { Embedding } from "../../src/nn/embedding.ts";
import { Linear } from "../../src/nn/linear.ts";
import type { HostTensor, Module } from "../../src/nn/module.ts";
import { MultiheadAttention } from "../../src/nn/multiheadAttention.ts";
import { LayerNorm } from "../../src/nn/norm.ts";
import { GRU, LSTM, type RecurrentOutput, RNN } from "../../src/nn/rnn.ts";
import { TransformerEncoderLayer } from "../../src/nn/transformerLayers.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { readFile } from "./files.ts";

interface Layer extends Module {
  forward(x: Tensor): Tensor | RecurrentOutput | { readonly logits: Tensor };
}

const encoder = { dModel: 8, nhead: 2, dimFeedforward: 12, dropout: 0 };
const language = { vocabSize: 11, embeddingSize: 4, hiddenSize: 6, numLayers: 2, dropout: 0 };

/** By the names of modules.py. */
export const MODULES: Readonly<Record<string, (device: Device) => Layer>> = {
  Linear: (device) => new Linear(device, 5, 3),
  "Linear without bias": (device) => new Linear(device, 5, 3, { bias: false }),
  Embedding: (device) => new Embedding(device, 11, 3),
  LayerNorm: (device) => new LayerNorm(device, 7),
  RNN: (device) => new RNN(device, { inputSize: 3, hiddenSize: 5, numLayers: 2, nonlinearity: "relu" }),
  GRU: (device) =>
    new GRU(device, { inputSize: 3, hiddenSize: 5, numLayers: 2, batchFirst: true, bidirectional: true }),
  LSTM: (device) => new LSTM(device, { inputSize: 3, hiddenSize: 5, numLayers: 2, bidirectional: true }),
  "LSTM with projection": (device) => new LSTM(device, { inputSize: 3, hiddenSize: 5, numLayers: 2, projSize: 4 }),
  MultiheadAttention: (device) => new MultiheadAttention(device, { embedDim: 8, numHeads: 2 }),
  TransformerEncoderLayer: (device) => new TransformerEncoderLayer(device, encoder),
  "TransformerEncoderLayer, norm first": (device) =>
    new TransformerEncoderLayer(device, { ...encoder, activation: "gelu", normFirst: true }),
  LanguageModel: (device) => new RecurrentLanguageModel(device, { kind: "lstm", ...language }),
};

/** What PyTorch saved of one module. */
export interface TorchCase {
  readonly state: ReadonlyMap<string, HostTensor>;
  readonly inputs: readonly FileTensor[];
  readonly outputs: readonly Float32Array[];
}

export async function torchCases(): Promise<Map<string, TorchCase>> {
  const { tensors } = parsePyTorch(await readFile("test/fixtures/torch/modules.pth"));
  const under = (prefix: string) => [...tensors].filter(([name]) => name.startsWith(prefix));
  return new Map(
    Object.keys(MODULES).map((name) => {
      const state = under(`${name}.state.`).map(([key, entry]): [string, HostTensor] => {
        return [
          key.slice(name.length + ".state.".length),
          { shape: entry.shape, values: toFloat32(entry, key).slice() },
        ];
      });
      const outputs = under(`${name}.outputs.`).map(([key, entry]) => toFloat32(entry, key));
      return [name, { state: new Map(state), inputs: under(`${name}.inputs.`).map(([, entry]) => entry), outputs }];
    }),
  );
}

/** Outputs in the order of PyTorch's, which are the caller's to dispose. */
export function runModule(device: Device, module: Layer, { inputs }: TorchCase): Tensor[] {
  const [input] = inputs as [FileTensor];
  return scope(() => {
    const x =
      input.dtype === "F32"
        ? tensor(device, toFloat32(input, "input").slice(), input.shape)
        : tensor(device, toInt32(input, "input").slice(), input.shape);
    const result = module.eval().forward(x);
    if ("logits" in result) return [result.logits];
    if (!("output" in result)) return [result];
    const { output, state } = result;
    return [output, state.h, ...(state.c ? [state.c] : [])];
  });
}
