import { beforeAll, describe, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { LSTM } from "../../src/nn/rnn.ts";
import { ones, zeros } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
});

describe("wrong inputs", () => {
  const module = () => new LSTM(device, { inputSize: 3, hiddenSize: 4, batchFirst: true });
  const x = () => zeros(device, [2, 5, 3]);
  const state = (h: readonly number[], c: readonly number[]) => ({ h: zeros(device, h), c: zeros(device, c) });

  test.each<[string, RegExp, () => unknown]>([
    [
      "two axes",
      /lstm: x is \[5, 3\]; it must be \[B, T, I\], add an axis of 1/,
      () => module().forward(zeros(device, [5, 3])),
    ],
    [
      "another width",
      /lstm: weightIh is \[16, 3\]; it must be \[16, 7\]/,
      () => module().forward(zeros(device, [2, 5, 7])),
    ],
    ["dtype", /lstm: the tensor \[2, 5, 3\] holds i32/, () => module().forward(zeros(device, [2, 5, 3], "i32"))],
    [
      "state",
      /LSTM: the state's h is \[2, 1, 4\]; it must be \[1, 2, 4\]/,
      () => module().forward(x(), state([2, 1, 4], [1, 2, 4])),
    ],
    [
      "cell",
      /LSTM: the state's c is \[1, 2, 5\]; it must be \[1, 2, 4\]/,
      () => module().forward(x(), state([1, 2, 4], [1, 2, 5])),
    ],
    [
      "a length too long",
      /lstm: a length is 6; lengths are whole numbers from 0 to 5/,
      () => module().forward(x(), null, { lengths: [5, 6] }),
    ],
    ["a negative length", /lstm: a length is -1/, () => module().forward(x(), null, { lengths: [-1, 5] })],
    [
      "lengths",
      /lstm: there are 3 lengths for a batch of 2/,
      () => module().forward(x(), null, { lengths: [1, 2, 3] }),
    ],
    [
      "f32 lengths",
      /lstm: the tensor \[2\] holds f32/,
      () => module().forward(x(), null, { lengths: zeros(device, [2]) }),
    ],
    ["no units", /LSTM: hiddenSize is 0/, () => new LSTM(device, { inputSize: 3, hiddenSize: 0 })],
    [
      "a projection too wide",
      /LSTM: projSize is 4; use a whole number from 0 \(none\) to below hiddenSize, 4/,
      () => new LSTM(device, { inputSize: 3, hiddenSize: 4, projSize: 4 }),
    ],
    ["dropout", /LSTM: dropout is 2/, () => new LSTM(device, { inputSize: 3, hiddenSize: 4, dropout: 2 })],
  ])("%s", (_, message, run) => {
    expect(run).toThrow(message);
    expect(module().forward(x()).output.shape).toEqual([2, 5, 4]);
  });
});

test("initial values are within 1 / sqrt(H), and dropout acts between layers while training", async () => {
  const module = new LSTM(device, { inputSize: 3, hiddenSize: 16, numLayers: 2, dropout: 1, random: new Random(1) });
  for (const [name, parameter] of module.namedParameters()) {
    const values = [...(await parameter.data())];
    expect([name, Math.max(...values.map(Math.abs)) <= 0.25, new Set(values).size > 32]).toEqual([name, true, true]);
  }
  const x = ones(device, [2, 1, 3]);
  const trained = await module.forward(x).output.data();
  const blind = new LSTM(device, { inputSize: 3, hiddenSize: 16, numLayers: 2 });
  blind.loadStateDict(await module.stateDict());
  blind.parameters()[4]?.write(new Float32Array(64 * 16));
  expectClose(trained, await blind.forward(x).output.data());
  const evaluated = await module.eval().forward(x).output.data();
  expect(Math.abs((evaluated[0] as number) - (trained[0] as number))).toBeGreaterThan(1e-4);
});
