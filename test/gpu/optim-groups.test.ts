/** Parameter groups: a learning-rate factor and a weight decay each, in one update over all parameters. */
import { beforeAll, expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { FileError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import { mul } from "../../src/ops/binary.ts";
import { sum } from "../../src/ops/reduce.ts";
import { Adam, AdamW } from "../../src/optim/adam.ts";
import type { ParameterGroup } from "../../src/optim/groups.ts";
import { optimizerGroups } from "../../src/optim/modelGroups.ts";
import type { Optimizer, OptimizerOptions } from "../../src/optim/optimizer.ts";
import { SGD } from "../../src/optim/sgd.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

/** Sizes on both sides of a block of 64 values. */
const SIZES = [1, 63, 64, 65, 130];
const GROUPS = [
  { members: [3, 0], lrScale: 1, weightDecay: 0 },
  { members: [1], lrScale: 3, weightDecay: 0.2 },
  { members: [4, 2], lrScale: 0.5, weightDecay: 0.05 },
];
const LR = 0.05;

const start = (n: number) => Float32Array.from({ length: SIZES[n]! }, (_, i) => Math.sin(i + 3 * n) + 0.1);
const gradient = (n: number, step: number) =>
  Float32Array.from({ length: SIZES[n]! }, (_, i) => Math.cos(2 * i + n + 5 * step));

function build(make: (groups: ParameterGroup[], options: OptimizerOptions) => Optimizer) {
  const leaves = SIZES.map((_, n) => {
    const leaf = tensor(device, start(n));
    leaf.requiresGrad = true;
    return leaf;
  });
  const groups = GROUPS.map(({ members, ...rates }) => ({ ...rates, parameters: members.map((n) => leaves[n]!) }));
  const optimizer = make(groups, { lr: LR });
  const step = (index: number) => {
    optimizer.zeroGrad();
    for (const [n, leaf] of leaves.entries()) scope(() => backward(sum(mul(leaf, tensor(device, gradient(n, index))))));
    optimizer.step();
  };
  return { leaves, optimizer, step, values: () => Promise.all(leaves.map((leaf) => leaf.data())) };
}

/** A parameter after some steps in float64, by PyTorch's formulas; the gradient of the fourth step stays. */
function reference(kind: string, n: number, steps: number): Float64Array {
  const { lrScale, weightDecay } = GROUPS.find(({ members }) => members.includes(n))!;
  const lr = LR * lrScale;
  const p = Float64Array.from(start(n));
  const [m, v] = [new Float64Array(p.length), new Float64Array(p.length)];
  for (let t = 1; t <= steps; t++)
    for (const [i, g0] of gradient(n, Math.min(t - 1, 3)).entries()) {
      if (kind === "AdamW") p[i]! *= 1 - lr * weightDecay;
      const g = g0 + (kind === "AdamW" ? 0 : weightDecay * p[i]!);
      if (kind === "SGD") {
        m[i] = t === 1 ? g : 0.9 * m[i]! + g;
        p[i]! -= lr * m[i]!;
        continue;
      }
      m[i] = 0.9 * m[i]! + 0.1 * g;
      v[i] = 0.999 * v[i]! + 0.001 * g * g;
      p[i]! -= ((lr / (1 - 0.9 ** t)) * m[i]!) / (Math.sqrt(v[i]! / (1 - 0.999 ** t)) + 1e-8);
    }
  return p;
}

const makers: Record<string, (groups: ParameterGroup[], options: OptimizerOptions) => Optimizer> = {
  AdamW: (groups, options) => new AdamW(groups, options),
  Adam: (groups, options) => new Adam(groups, options),
  SGD: (groups, options) => new SGD(groups, { ...options, momentum: 0.9 }),
};

test.each(Object.keys(makers))("%s updates every group by its own rate and decay in one launch", async (kind) => {
  const run = build(makers[kind]!);
  for (let t = 0; t < 4; t++) run.step(t);
  await device.sync();
  const { dispatches } = device.stats;
  run.optimizer.step();
  await device.sync();
  // The norm takes two launches whatever the groups.
  expect(device.stats.dispatches - dispatches).toBe(3);
  for (const [n, values] of (await run.values()).entries())
    expectClose(values, reference(kind, n, 5), { what: `parameter ${n}` });
  run.optimizer.dispose();
});

test("a restored optimizer of the same groups continues bit by bit; other groups are refused", async () => {
  const whole = build(makers.AdamW!);
  for (let t = 0; t < 2; t++) whole.step(t);
  const state = await whole.optimizer.state();
  const again = build(makers.AdamW!);
  for (const [n, values] of (await whole.values()).entries()) again.leaves[n]!.write(values);
  again.optimizer.restore(state);
  for (const run of [whole, again]) for (let t = 2; t < 4; t++) run.step(t);
  expect(await again.values()).toEqual(await whole.values());

  const plain = build(
    (groups, options) =>
      new AdamW(
        groups.flatMap(({ parameters }) => parameters),
        options,
      ),
  );
  expect(() => plain.optimizer.restore(state)).toThrow(
    "its groups are 66 values at 1 lr with decay 0, 63 values at 3 lr with decay 0.2, 194 values at 0.5 lr with decay 0.05 instead of one",
  );
  const single = await plain.optimizer.state();
  expect(() => whole.optimizer.restore(single)).toThrow(FileError);
  plain.optimizer.restore(single);
  for (const { optimizer, leaves } of [whole, again, plain]) for (const one of [optimizer, ...leaves]) one.dispose();
});

test("groups that cannot be are refused in one sentence", () => {
  const [a, b] = [tensor(device, [1, 2]), tensor(device, [3])] as [Tensor<"f32">, Tensor<"f32">];
  const make = (groups: ParameterGroup[]) => () => new SGD(groups, { lr: 0.1 });
  expect(make([{ parameters: [a, b] }, { parameters: [a] }])).toThrow(
    "optimizer: a parameter [2] appears twice, in group 0 and in group 1; give each parameter to one group, once",
  );
  expect(make([{ parameters: [a] }, { parameters: [b], weightDecay: -1 }])).toThrow(
    "optimizer: weightDecay of group 1 is -1; use a number of 0 or more",
  );
  expect(make([{ parameters: [a], lrScale: Number.NaN }])).toThrow("lrScale of group 0 is NaN");
  expect(make([{ parameters: [] }])).toThrow("there are no parameters");
});

/** Names of what differs from a learning rate of 1, and of what decays; the layer's number left out. */
function grouping(kind: string) {
  const model = createModel(device, modelKind(kind).sized({ vocabSize: 5, width: 16, numLayers: 2 }));
  const names = new Map([...model.namedParameters()].map(([name, parameter]) => [parameter, name]));
  const groups = optimizerGroups(model, { weightDecay: 0.3 });
  expect(groups.flatMap(({ parameters }) => parameters)).toHaveLength(names.size);
  const short = (chosen: ParameterGroup[]) => [
    ...new Set(chosen.flatMap(({ parameters }) => parameters.map((one) => names.get(one)!.replace(/\.\d+\./, ".")))),
  ];
  const result = {
    twice: short(groups.filter(({ lrScale }) => lrScale === 2)),
    thrice: short(groups.filter(({ lrScale }) => lrScale === 3)),
    decaying: short(groups.filter(({ weightDecay }) => weightDecay === 0.3)),
  };
  model.dispose();
  return result;
}

test("a model's groups: RWKV's decays learn faster, and only matrices decay", () => {
  const ffn = ["blocks.ffn.key.weight", "blocks.ffn.receptance.weight", "blocks.ffn.value.weight"];
  const att = ["receptance", "key", "value", "output"].map((name) => `blocks.att.${name}.weight`);
  const ends = ["emb.weight", "head.weight"];
  const expected = {
    rwkv4: { twice: ["blocks.att.time_decay"], thrice: ["blocks.att.time_first"], decaying: [...ends, ...att, ...ffn] },
    "rwkv5.2": {
      twice: ["blocks.att.time_decay"],
      thrice: [],
      decaying: [...ends, ...att, "blocks.att.gate.weight", ...ffn],
    },
    rwkv6: {
      twice: ["blocks.att.time_decay"],
      thrice: [],
      decaying: [...ends, ...att, "blocks.att.gate.weight", ...ffn],
    },
    rwkv7: { twice: ["blocks.att.w0"], thrice: [], decaying: [...ends, ...att, ffn[0]!, ffn[2]!] },
  };
  for (const [kind, wanted] of Object.entries(expected)) {
    const found = grouping(kind);
    expect({ ...found, decaying: found.decaying.sort() }, kind).toEqual({
      ...wanted,
      decaying: wanted.decaying.sort(),
    });
  }
  const { twice, decaying } = grouping("mamba");
  expect(twice).toEqual([]);
  expect(decaying.some((name) => name.endsWith("in_proj.weight"))).toBe(true);
  expect(decaying.some((name) => /A_log|\.D$|bias|norm/.test(name))).toBe(false);
});
