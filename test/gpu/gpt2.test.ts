import { beforeAll, expect, test } from "vitest";
import { noGrad } from "../../src/autograd/mode.ts";
import { Session } from "../../src/generate/session.ts";
import type { Device } from "../../src/gpu/device.ts";
import { FileError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { toFloat32 } from "../../src/io/convert.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/write.ts";
import { gpt2ConfigOf, gpt2FromCheckpoint } from "../../src/models/gpt2/load.ts";
import { TransformerLanguageModel } from "../../src/models/transformer.ts";
import type { HostTensor } from "../../src/nn/module.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

const SHAPE = { vocabSize: 23, channels: 12, heads: 3, numLayers: 3, contextLength: 16, dropout: 0 };
const MATRICES = /(c_attn|c_fc|c_proj)\.weight$/;

/** A model whose every value, biases and norms too, is its own, with its state dict under nanoGPT's names. */
async function nano(): Promise<{ model: TransformerLanguageModel; state: Map<string, HostTensor> }> {
  const model = new TransformerLanguageModel(device, { kind: "transformer", ...SHAPE });
  const random = new Random(4);
  for (const parameter of model.parameters())
    parameter.write(Float32Array.from({ length: parameter.size }, () => 0.3 * random.normal()));
  return { model, state: await model.stateDict() };
}

/** As published: no prefix, matrices stored [in, out], causal masks, by way of a file. */
function published(state: ReadonlyMap<string, HostTensor>, prefix = ""): Map<string, HostTensor> {
  const entries = [...state].map(([name, { shape, values }]) => {
    const short = prefix + name.replace(/^transformer\./, "");
    if (!MATRICES.test(name)) return [short, { shape, values }] as const;
    const [rows, columns] = shape as [number, number];
    const turned = Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)] as number);
    return [short, { shape: [columns, rows], values: turned }] as const;
  });
  const masks = Array.from({ length: SHAPE.numLayers }, (_, layer) => [
    [`${prefix}h.${layer}.attn.bias`, { shape: [1, 1, 16, 16], values: new Float32Array(256).fill(1) }] as const,
    [`${prefix}h.${layer}.attn.masked_bias`, { shape: [], values: new Float32Array([-1e4]) }] as const,
  ]);
  return throughFile(new Map([...entries, ...masks.flat()]));
}

function throughFile(state: ReadonlyMap<string, HostTensor>): Map<string, HostTensor> {
  const bytes = writeSafetensors(
    new Map([...state].map(([name, { shape, values }]) => [name, { shape, data: values }])),
  );
  const { tensors } = parseSafetensors(bytes);
  return new Map([...tensors].map(([name, file]) => [name, { shape: file.shape, values: toFloat32(file, name) }]));
}

const ids = Int32Array.from({ length: 14 }, (_, t) => (t * 7 + 3) % SHAPE.vocabSize);

async function logitsOf(model: TransformerLanguageModel): Promise<Float32Array> {
  const logits = scope(() => noGrad(() => model.forward(tensor(device, ids, [1, 14])).logits));
  const values = await logits.data();
  logits.dispose();
  return values;
}

test("a published file gives the logits of the same weights in nanoGPT's form", async () => {
  const { model, state } = await nano();
  const expected = await logitsOf(model);
  const table = state.get("transformer.wte.weight") as HostTensor;
  const files = {
    bare: published(state),
    prefixed: published(state, "transformer."),
    "with its head": new Map([...published(state, "transformer."), ["lm_head.weight", table]]),
    "as nanoGPT stores it": state,
  };
  for (const [what, file] of Object.entries(files)) {
    const loaded = gpt2FromCheckpoint(device, file, { heads: 3 });
    expect(loaded.config).toEqual({
      kind: "transformer",
      ...SHAPE,
      positions: "learned",
      tiedHead: true,
      halfCache: false,
    });
    expectClose(await logitsOf(loaded), expected, { atol: 0, rtol: 0, what });
    loaded.dispose();
  }
  const loaded = gpt2FromCheckpoint(device, files.bare, { heads: 3 });
  const text = async (model: TransformerLanguageModel) => {
    const session = new Session(model);
    session.feed(ids.slice(0, 5));
    const written: number[] = [];
    for await (const id of session.generate({ maxTokens: 8, temperature: 0 })) written.push(id);
    session.dispose();
    return written;
  };
  expect(await text(loaded)).toEqual(await text(model));
  loaded.dispose();
  model.dispose();
});

test("the sizes of the published models are read off their shapes", () => {
  const file = (layers: number, C: number) =>
    new Map([
      ["wte.weight", { shape: [50257, C] }],
      ["wpe.weight", { shape: [1024, C] }],
      ...Array.from({ length: layers }, (_, i) => [`h.${i}.attn.c_attn.weight`, { shape: [C, 3 * C] }] as const),
    ]);
  for (const [layers, channels, heads] of [
    [12, 768, 12],
    [24, 1024, 16],
    [36, 1280, 20],
    [48, 1600, 25],
  ] as const) {
    const config = gpt2ConfigOf(file(layers, channels));
    expect(config).toMatchObject({ vocabSize: 50257, contextLength: 1024, numLayers: layers, channels, heads });
  }
});

test("files that are no GPT-2 are refused in one sentence, and leave no memory behind", async () => {
  const { model, state } = await nano();
  const file = published(state);
  model.dispose();
  const { live } = device.stats.memory;
  const load = (file: Map<string, HostTensor>, options = { heads: 3 }) => gpt2FromCheckpoint(device, file, options);
  const without = (pattern: RegExp) => new Map([...file].filter(([name]) => !pattern.test(name)));
  const withOne = (name: string, shape: number[]) =>
    new Map([...file, [name, { shape, values: new Float32Array(shape.reduce((a, b) => a * b, 1)) }]]);
  const refused: [() => unknown, string][] = [
    [() => load(new Map()), "gpt2: the file has no wte.weight; it is not a GPT-2 checkpoint"],
    [() => load(without(/^h\./)), "gpt2: the file has no h.0.attn.c_attn.weight"],
    [() => load(without(/^h\.1\./)), "gpt2: the file lacks layer 1 of 3; use all parts of the checkpoint"],
    [() => gpt2FromCheckpoint(device, without(/^h\.2\./), { heads: 3, numLayers: 3 }), "lacks layer 2 of 3"],
    [() => load(without(/^h\.1\.mlp\.c_fc\.bias/)), "missing transformer.h.1.mlp.c_fc.bias"],
    [() => load(withOne("h.1.attn.q_norm.weight", [12])), "unexpected transformer.h.1.attn.q_norm.weight"],
    [() => load(withOne("wpe.weight", [16])), "gpt2: wpe.weight is [16] and must be a matrix"],
    [() => load(withOne("h.0.attn.c_attn.weight", [12, 24])), "is [12, 24] and must be [12, 36] or"],
    [() => load(withOne("h.2.mlp.c_proj.weight", [48, 13])), "mlp.c_proj.weight is [13, 48] instead of [12, 48]"],
    [() => load(withOne("lm_head.weight", [23, 12])), "lm_head.weight [23, 12] differs from wte.weight [23, 12]"],
    [() => gpt2FromCheckpoint(device, file), "12 channels do not divide into heads of 64; give the number of heads"],
    [() => load(file, { heads: 5 }), "12 channels do not divide into 5 heads"],
  ];
  for (const [attempt, message] of refused) {
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(FileError);
  }
  expect(device.stats.memory.live).toBe(live);
});
