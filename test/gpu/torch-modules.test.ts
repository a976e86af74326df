/** State dicts of PyTorch load as they are, and give PyTorch's results. */
import { beforeAll, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";
import { MODULES, runModule, type TorchCase, torchCases } from "../support/torchModules.ts";

let device: Device;
let cases: Map<string, TorchCase>;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  cases = await torchCases();
});

test.each(Object.keys(MODULES))("%s", async (name) => {
  const expected = cases.get(name) as TorchCase;
  const before = device.stats.memory.live;
  const module = (MODULES[name] as (typeof MODULES)[string])(device);
  const shapes = (state: ReadonlyMap<string, { readonly shape: readonly number[] }>) =>
    Object.fromEntries([...state].map(([key, { shape }]) => [key, [...shape]]));
  expect(shapes(await module.stateDict())).toEqual(shapes(expected.state));
  module.loadStateDict(expected.state);
  const tensors = runModule(device, module, expected);
  const outputs = await Promise.all(tensors.map((output) => output.data()));
  expect(outputs).toHaveLength(expected.outputs.length);
  outputs.forEach((output, i) => {
    expectClose(output as Float32Array, expected.outputs[i] as Float32Array, { what: `output ${i}` });
  });
  expect(await module.stateDict()).toEqual(expected.state);
  for (const one of [...tensors, module]) one.dispose();
  expect(device.stats.memory.live).toBe(before);
});
