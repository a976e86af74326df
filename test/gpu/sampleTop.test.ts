import { beforeAll, expect, test } from "vitest";
import { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { softmaxTop, topK } from "../../src/ops/sampleTop.ts";
import { tensor } from "../../src/tensor/create.ts";
import { expectClose } from "../support/close.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
/** The same device with the launches that a real GPU gets: 256 invocations a row. */
let wide: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  wide = new Device(device.gpu, device.info, false, false);
});

test("topK orders by value, then index; softmaxTop gives probabilities", async () => {
  for (const on of [device, wide]) {
    const { values, ids } = topK(
      tensor(on, [
        [1, 5, 5, 2],
        [0, 0, -1, 0],
      ]),
      3,
    );
    expect([...(await values.data())]).toEqual([5, 5, 2, 0, 0, 0]);
    expect([...(await ids.data())]).toEqual([1, 2, 3, 0, 1, 3]);
  }
  const top = softmaxTop(tensor(device, [0, Math.log(3)]), 2);
  expectClose(await top.values.data(), [0.75, 0.25]);
  expect([...(await top.ids.data())]).toEqual([1, 0]);
  expect(() => topK(tensor(device, [1, 2]), 3)).toThrow("topK: the count is 3 and rows have 2 elements");
});
