import { afterAll, beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { FileError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { toFloat32 } from "../../src/io/convert.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import { createModel, modelKind, modelKinds } from "../../src/models/registry.ts";
import { Embedding } from "../../src/nn/embedding.ts";
import { Linear } from "../../src/nn/linear.ts";
import { type HostTensor, Module, type Parameter } from "../../src/nn/module.ts";
import { LSTM } from "../../src/nn/rnn.ts";
import { linear } from "../../src/ops/linear.ts";
import { sum } from "../../src/ops/reduce.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { readCheckpoint } from "../../src/train/checkpoint.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});
afterAll(() => device.destroy());

test("an LSTM's names and shapes are PyTorch's", () => {
  const lstm = new LSTM(device, { inputSize: 3, hiddenSize: 5, numLayers: 2, bidirectional: true, projSize: 2 });
  const shapes = Object.fromEntries([...lstm.namedParameters()].map(([name, { shape }]) => [name, [...shape]]));
  expect(shapes).toMatchObject({
    weight_ih_l0: [20, 3],
    weight_hh_l0: [20, 2],
    bias_ih_l0: [20],
    bias_hh_l0: [20],
    weight_hr_l0: [2, 5],
    weight_ih_l0_reverse: [20, 3],
    weight_ih_l1: [20, 4],
    weight_hr_l1_reverse: [2, 5],
  });
  expect(Object.keys(shapes)).toHaveLength(20);
  lstm.dispose();
});

test("a state dict goes through a file and back, bit for bit", async () => {
  const from = new LSTM(device, { inputSize: 3, hiddenSize: 4, random: new Random(1) });
  const to = new LSTM(device, { inputSize: 3, hiddenSize: 4, random: new Random(2) });
  const state = await from.stateDict();
  const file = writeSafetensors(state);
  const read = new Map<string, HostTensor>();
  for (const [name, entry] of parseSafetensors(file).tensors)
    read.set(name, { shape: entry.shape, values: toFloat32(entry, name) });
  to.loadStateDict(read);
  expect(await to.stateDict()).toEqual(state);
  from.dispose();
  to.dispose();
});

test("a state dict that does not fit is refused with every fault, and nothing changes", async () => {
  const model = new Linear(device, 2, 3, { random: new Random(1) });
  const before = await model.stateDict();
  const wrong = new Map([
    ["weight", { shape: [3, 3], values: new Float32Array(9) }],
    ["extra", { shape: [1], values: new Float32Array(1) }],
  ]);
  expect(() => model.loadStateDict(wrong)).toThrow(FileError);
  expect(() => model.loadStateDict(wrong)).toThrow(
    /missing bias.*unexpected extra.*weight is \[3, 3\] instead of \[3, 2\]/,
  );
  expect(await model.stateDict()).toEqual(before);
  model.dispose();
});

/** Embedding and head share their table. */
class Tied extends Module {
  readonly encoder = this.child("encoder", new Embedding(device, 4, 3, { random: new Random(1) }));
  readonly weight: Parameter = this.parameter("head", this.encoder.weight);

  forward(ids: Tensor): Tensor {
    return linear(this.encoder.forward(ids), this.weight);
  }
}

test("a tied parameter counts once, and its gradient is the sum of both uses", async () => {
  const model = new Tied();
  expect(model.parameters()).toHaveLength(1);
  expect(model.parameterCount).toBe(12);
  const ids = tensor(device, new Uint32Array([0, 2, 2]));
  scope(() => backward(sum(model.forward(ids))));
  const tied = [...((await model.weight.grad?.data()) ?? [])];

  const values = (await model.weight.data()).slice();
  const table = tensor(device, values, [4, 3]);
  const head = tensor(device, values, [4, 3]);
  table.requiresGrad = true;
  head.requiresGrad = true;
  const { embedding } = await import("../../src/ops/embedding.ts");
  scope(() => backward(sum(linear(embedding(table, ids), head))));
  const [a, b] = await Promise.all([table.grad?.data(), head.grad?.data()]);
  for (const [i, value] of tied.entries()) expect(value).toBeCloseTo((a?.[i] ?? 0) + (b?.[i] ?? 0), 4);
  model.dispose();
});

test("the registry counts parameters as they are, and refuses what it does not know", () => {
  for (const { kind, options, parameterCount } of modelKinds) {
    const sizes = Object.fromEntries(options.map(({ name, min }) => [name, min]));
    const config = { kind, vocabSize: 11, ...sizes };
    const model = createModel(device, config);
    expect(model.parameterCount).toBe(parameterCount(config));
    model.dispose();
  }
  expect(() => modelKind("perceptron")).toThrow(/there are rnn, gru, lstm/);
  expect(() => createModel(device, { kind: "lstm", vocabSize: 0 })).toThrow(ValueError);
  expect(() => createModel(device, { kind: "lstm", vocabSize: 3, embeddingSize: 2.5 })).toThrow(/embeddingSize/);
});

test("foreign and damaged checkpoints are refused", () => {
  expect(() => readCheckpoint(new Uint8Array(3))).toThrow(FileError);
  const foreign = writeSafetensors([["a", { shape: [1], data: new Float32Array(1) }]]);
  expect(() => readCheckpoint(foreign)).toThrow(/not saved by this engine/);
  const damaged = writeSafetensors([], { ostinato: '{"config":{"kind":"lstm"}}' });
  expect(() => readCheckpoint(damaged)).toThrow(FileError);
  const unknown = writeSafetensors([], { ostinato: '{"config":{"kind":"perceptron"}}' });
  expect(() => readCheckpoint(unknown)).toThrow(/perceptron/);
});
