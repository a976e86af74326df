import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { toFloat32 } from "../../src/io/convert.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import type { Module } from "../../src/nn/module.ts";
import { MultiheadAttention } from "../../src/nn/multiheadAttention.ts";
import {
  TransformerDecoderLayer,
  TransformerEncoderLayer,
  type TransformerLayerOptions,
} from "../../src/nn/transformerLayers.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { readFile } from "../support/files.ts";

// PyTorch's results, by transformer_layers.py beside the file; weights and inputs follow the rule below.
const FILE = "test/fixtures/torch/transformer_layers.safetensors";
const [E, B, T, M] = [8, 2, 5, 7] as const;

let device: Device;
let expected: ReturnType<typeof parseSafetensors>["tensors"];
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  expected = parseSafetensors(await readFile(FILE)).tensors;
});

const rule = (size: number, seed: number, scale: number, base = 0) =>
  Float32Array.from({ length: size }, (_, n) => base + (((37 * n + 11 * seed) % 101) - 50) / scale);

function fill<M extends Module>(module: M): M {
  const named = [...module.namedParameters()].sort(([a], [b]) => (a < b ? -1 : 1));
  named.forEach(([name, parameter], seed) => {
    parameter.write(rule(parameter.size, seed, 100, /^norm.*weight$/.test(name) ? 1 : 0));
  });
  module.eval();
  return module;
}

function leaf(shape: Shape, seed: number): Tensor<"f32"> {
  const x = tensor(
    device,
    rule(
      shape.reduce((a, b) => a * b, 1),
      seed,
      50,
    ),
    shape,
  );
  x.requiresGrad = true;
  return x;
}

/** Compares the result, and the gradient of each input and parameter, with PyTorch's; all of its names must be there. */
async function check(name: string, module: Module, inputs: Record<string, Tensor<"f32">>, run: () => Tensor) {
  const out = scope(() => {
    const out = run();
    backward(out, tensor(device, rule(out.size, 5, 50), out.shape));
    return out;
  });
  const found = new Map<string, Tensor | null>([["out", out]]);
  for (const [key, x] of [...Object.entries(inputs), ...module.namedParameters()]) found.set(`grad.${key}`, x.grad);
  const keys = [...expected.keys()]
    .filter((key) => key.startsWith(`${name}.`))
    .map((key) => key.slice(name.length + 1));
  expect([...found.keys()].sort()).toEqual(keys.sort());
  for (const key of keys) {
    const full = `${name}.${key}`;
    const values = toFloat32(expected.get(full)!, full);
    expectClose((await found.get(key)?.data()) as Float32Array, values, { atol: 2e-5, what: full });
  }
}

const padding = (rows: number) =>
  tensor(
    device,
    [3, 7].map((n) => Math.min(n, rows)),
    [B],
    "u32",
  );

test("MultiheadAttention is PyTorch's, of a text to itself", async () => {
  const mha = fill(new MultiheadAttention(device, { embedDim: E, numHeads: 2 }));
  const query = leaf([B, T, E], 1);
  await check("self", mha, { query }, () => mha.forward(query, query, query, { causal: true }));
});

test("MultiheadAttention is PyTorch's, of a text to another with padding", async () => {
  const mha = fill(new MultiheadAttention(device, { embedDim: E, numHeads: 2 }));
  const [query, key, value] = [leaf([B, T, E], 1), leaf([B, M, E], 2), leaf([B, M, E], 3)];
  const inputs = { query, key, value } as Record<string, Tensor<"f32">>;
  await check("cross", mha, inputs, () => mha.forward(query, key, value, { lengths: padding(M) }));
});

for (const normFirst of [false, true]) {
  const place = normFirst ? "first" : "last";
  const options: TransformerLayerOptions = { dModel: E, nhead: 2, dimFeedforward: 12, normFirst, layerNormEps: 1e-3 };

  test(`TransformerEncoderLayer is PyTorch's, normalising ${place}`, async () => {
    const activation = normFirst ? "gelu" : "relu";
    const layer = fill(new TransformerEncoderLayer(device, { ...options, activation }));
    const src = leaf([B, T, E], 1);
    await check(`encoder.${place}`, layer, { src }, () => layer.forward(src, { lengths: padding(T) }));
  });

  test(`TransformerDecoderLayer is PyTorch's, normalising ${place}`, async () => {
    const activation = normFirst ? "relu" : "gelu";
    const layer = fill(new TransformerDecoderLayer(device, { ...options, activation }));
    const [tgt, memory] = [leaf([B, T, E], 1), leaf([B, M, E], 2)];
    const seen = { memory: { lengths: padding(M) } };
    await check(`decoder.${place}`, layer, { tgt, memory } as Record<string, Tensor<"f32">>, () =>
      layer.forward(tgt, memory, seen),
    );
  });
}

test("dropout is active in training only", async () => {
  const layer = new TransformerEncoderLayer(device, { dModel: E, nhead: 2, dimFeedforward: 12, dropout: 0.5 });
  const src = tensor(device, rule(B * T * E, 1, 50), [B, T, E]);
  const run = () => layer.forward(src).data();
  expect(await run()).not.toEqual(await run());
  layer.eval();
  expect(await run()).toEqual(await run());
});

test("refuses what does not fit, in one sentence", () => {
  expect(() => new MultiheadAttention(device, { embedDim: 10, numHeads: 4 })).toThrow(
    "MultiheadAttention: embedDim 10 does not divide into 4 heads; make it a multiple of numHeads",
  );
  expect(() => new TransformerEncoderLayer(device, { dModel: 8, nhead: 3 })).toThrow("does not divide into 3 heads");
  const mha = new MultiheadAttention(device, { embedDim: 8, numHeads: 2, bias: false });
  expect([...mha.namedParameters()].map(([name]) => name)).toEqual(["in_proj_weight", "out_proj.weight"]);
  const x = tensor(device, new Float32Array(32), [1, 4, 8]);
  const narrow = tensor(device, new Float32Array(24), [1, 4, 6]);
  expect(() => mha.forward(x, narrow)).toThrow("MultiheadAttention: key is [1, 4, 6] and must be [B, T, 8]");
  expect(() => mha.forward(x, x, x, { window: 0 })).toThrow("a window of 0 keys shows no key");
  expect(() => mha.forward(x, tensor(device, new Float32Array(64), [2, 4, 8]))).toThrow(
    "the batches 1 and 2 must be equal",
  );
});
