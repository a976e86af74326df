/** Tensors on buffers that somebody else made. */
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Device } from "../../src/gpu/device.ts";
import { ShapeError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { affine } from "../../src/ops/unary.ts";
import { capture } from "../../src/tensor/capture.ts";
import { zeros } from "../../src/tensor/create.ts";
import { fromBuffer } from "../../src/tensor/external.ts";
import { getGpu } from "../support/device.ts";

let device: Device;
let usage: number;
beforeEach(async () => {
  device = await openDevice({ gpu: await getGpu() });
  usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
});
afterEach(() => device.destroy());

test("operations read and write the buffer in place, and leave it to its owner", async () => {
  const buffer = device.gpu.createBuffer({ size: 32, usage });
  device.gpu.queue.writeBuffer(buffer, 0, new Float32Array([1, 2, 3, 4, 5, 6, 7]));
  const { live, reserved } = device.stats.memory;
  const x = fromBuffer(device, buffer, [7]);
  expect(device.stats.memory).toMatchObject({ live, reserved });
  const y = affine(x, 2);
  device.copy(y.storage, x.storage, x.bytes);
  device.flush();
  expect([...(await x.data())]).toEqual([2, 4, 6, 8, 10, 12, 14]);
  y.dispose();
  x.dispose();
  device.trim();
  // Still alive: another tensor finds what the first left.
  expect([...(await fromBuffer(device, buffer, [2, 3]).data())]).toEqual([2, 4, 6, 8, 10, 12]);
});

test("a captured function writes it at every replay", async () => {
  const buffer = device.gpu.createBuffer({ size: 512, usage });
  const [x, shown] = [zeros(device, [4]), fromBuffer(device, buffer, [4], { offset: 256 })];
  const plan = await capture(device, () => {
    device.copy(affine(x, 1, 1).storage, shown.storage, shown.bytes);
    return null;
  });
  for (const value of [1, 2]) {
    x.write([value, value, value, value]);
    plan.replay();
    expect([...(await shown.data())]).toEqual([value + 1, value + 1, value + 1, value + 1]);
  }
  plan.dispose();
  shown.dispose();
});

test("a buffer that does not fit is refused", () => {
  const buffer = device.gpu.createBuffer({ size: 256, usage });
  expect(() => fromBuffer(device, buffer, [65])).toThrow(ShapeError);
  expect(() => fromBuffer(device, buffer, [4], { offset: 4 })).toThrow(ValueError);
  expect(() => fromBuffer(device, buffer, [4], { offset: 256 })).toThrow("the buffer has 0 after offset 256");
  const uniform = device.gpu.createBuffer({ size: 256, usage: GPUBufferUsage.UNIFORM });
  expect(() => fromBuffer(device, uniform, [4])).toThrow("GPUBufferUsage.STORAGE");
});
