import { expect, test } from "vitest";
import { backward } from "../../src/autograd/backward.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { exp, tanh } from "../../src/ops/unary.ts";
import { capture } from "../../src/tensor/capture.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { getGpu } from "../support/device.ts";

test("first light", async () => {
  const device = await openDevice({ gpu: await getGpu() });
  const x = tensor(device, [0, 0.5, 1, -2, 1000]);
  x.requiresGrad = true;
  const y = scope(() => {
    const y = tanh(exp(x));
    backward(y, ones(device, [5]));
    return y;
  });
  console.log(await y.data(), await x.grad?.data(), device.stats);
  const plan = await capture(device, () => exp(tanh(x)));
  plan.replay();
  console.log(await plan.outputs.data());
  x.write([0, 0, 0, 0, 1]);
  plan.replay();
  console.log(await plan.outputs.data(), device.stats);
  expect(1).toBe(1);
});
