/** Which tensor of a step turns non-finite first. */
import { beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type { Forward, LanguageModel } from "../../src/models/language.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import { crossEntropy } from "../../src/ops/crossEntropy.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { affine } from "../../src/ops/unary.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { firstNonFinite } from "../../src/train/diagnose.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
let model: LanguageModel;
let ids: Tensor;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  const size = { vocabSize: 7, width: 8, numLayers: 2 };
  model = createModel(device, modelKind("gru").sized(size), { random: new Random(1) });
  ids = tensor(device, Int32Array.of(1, 2, 3, 4), [1, 4]);
});

const loss = (change: (logits: Forward["logits"]) => Tensor = (logits) => logits) =>
  crossEntropy(reshape(change(model.forward(ids).logits), [4, 7]), reshape(ids, [4]));

async function poison(name: string, value: number): Promise<() => void> {
  const state = new Map(
    [...(await model.stateDict())].map(([key, host]) => [key, { ...host, values: host.values.slice() }]),
  );
  const { values } = state.get(name)!;
  const before = values[3]!;
  values[3] = value;
  model.loadStateDict(state);
  return () => {
    values[3] = before;
    model.loadStateDict(state);
  };
}

test("names a parameter, a carried state, the result of an operation with its parameter, or a gradient", async () => {
  const live = device.stats.memory.live;
  expect(await firstNonFinite(model, () => loss(), null)).toBeNull();

  let mend = await poison("rnn.weight_hh_l1", Number.NaN);
  expect(await firstNonFinite(model, () => loss(), null)).toBe("the parameter rnn.weight_hh_l1");
  mend();

  const state = model.initialState(1);
  state.tensors.h!.write(new Float32Array(state.tensors.h!.size).fill(Number.POSITIVE_INFINITY));
  expect(await firstNonFinite(model, () => loss(), state)).toBe("h of the state that the batch before left");
  state.dispose();

  // Finite, but not what comes of it.
  mend = await poison("decoder.weight", 3e38);
  const huge = () => loss((logits) => affine(logits, 1e10));
  expect(await firstNonFinite(model, huge, null)).toMatch(/^the result of \w+ (with|after) decoder\.(weight|bias)$/);
  mend();

  // Finite forward, and a gradient that overflows on its way back.
  const overflowing = () =>
    affine(
      loss((logits) => affine(affine(logits, 1e-38), 1e38)),
      3e5,
    );
  expect(await firstNonFinite(model, overflowing, null)).toMatch(/^the gradient of /);
  for (const parameter of model.parameters()) parameter.gradValid = false;
  expect(device.stats.memory.live - live).toBeLessThanOrEqual(
    model.parameters().reduce((sum, one) => sum + Math.max(256, one.bytes), 0),
  );
});
