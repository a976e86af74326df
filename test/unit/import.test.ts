import { expect, test } from "vitest";
import { GpuUnavailableError, openDevice } from "../../src/index.ts";

test("the library loads where there is no WebGPU, and says what is missing", async () => {
  expect("GPUBufferUsage" in globalThis).toBe(false);
  await expect(openDevice()).rejects.toThrow(GpuUnavailableError);
  await expect(openDevice()).rejects.toMatchObject({ reason: "no-webgpu" });
});

/** A `navigator.gpu` that answers as told. */
function fakeGpu(adapter: unknown): GPU {
  return { requestAdapter: async () => adapter } as unknown as GPU;
}

const adapter = { features: new Set(), limits: {}, info: {} };

test("no adapter, and a refused device, each have their own reason", async () => {
  await expect(openDevice({ gpu: fakeGpu(null) })).rejects.toMatchObject({ reason: "no-adapter" });
  const refusing = { ...adapter, requestDevice: async () => Promise.reject(new Error("out of memory")) };
  await expect(openDevice({ gpu: fakeGpu(refusing) })).rejects.toMatchObject({
    reason: "no-device",
    message: expect.stringContaining("out of memory"),
  });
});

test("an insecure page is told so", async () => {
  Object.defineProperty(globalThis, "isSecureContext", { value: false, configurable: true });
  try {
    await expect(openDevice()).rejects.toMatchObject({ reason: "insecure-context" });
  } finally {
    Reflect.deleteProperty(globalThis, "isSecureContext");
  }
});
