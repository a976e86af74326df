/** What a visitor reads who cannot train here: the cause and the way out, at once. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Demo, startDemo, type Visit, visit } from "../support/demo.ts";

const SOON = 3000;

let demo: Demo;
beforeAll(async () => {
  demo = await startDemo();
}, 120_000);
afterAll(() => demo?.close());

/** Expects the sentence within three seconds, no way to start, and no error that nobody handled. */
async function expectMissing({ page, errors, until, text }: Visit, cause: RegExp, wayOut: RegExp): Promise<void> {
  const sentence = await until("#status", (now) => cause.test(now), SOON);
  expect(sentence).toMatch(wayOut);
  const line = await page.$("#status");
  expect(await line?.isVisible()).toBe(true);
  for (const id of ["train", "stop", "save", "load", "generate"])
    expect(await page.$eval(`#${id}`, (button) => (button as HTMLButtonElement).disabled), id).toBe(true);
  expect(await text("#device")).not.toMatch(/looking/i);
  expect(errors).toEqual([]);
  await page.close();
}

test("a page over plain http says that it needs https or localhost", async ({ skip }) => {
  if (!demo.insecureUrl) return skip("this machine has no network address");
  await expectMissing(await visit(demo, demo.insecureUrl), /plain http/, /https, or on localhost/);
});

test("a browser without WebGPU names browsers that have it", async () => {
  const stubbed = await visit(demo, demo.url, () => {
    Object.defineProperty(Navigator.prototype, "gpu", { value: undefined });
  });
  await expectMissing(stubbed, /does not offer WebGPU/, /Chrome or Edge .* Safari .* Firefox/);
});

test("no adapter: turn hardware acceleration on", async () => {
  const stubbed = await visit(demo, demo.url, () => {
    Object.defineProperty(Navigator.prototype, "gpu", { value: { requestAdapter: async () => null } });
  });
  await expectMissing(stubbed, /finds no GPU/, /hardware acceleration/);
});

test("a GPU that refuses to open: close what uses it", async () => {
  const stubbed = await visit(demo, demo.url, () => {
    const adapter = { limits: {}, features: new Set(), requestDevice: () => Promise.reject(new Error("refused")) };
    Object.defineProperty(Navigator.prototype, "gpu", { value: { requestAdapter: async () => adapter } });
  });
  await expectMissing(stubbed, /refused to open/, /Close other pages/);
});

test("a browser that does not answer is not waited for in silence", async () => {
  const stubbed = await visit(demo, demo.url, () => {
    Object.defineProperty(Navigator.prototype, "gpu", { value: { requestAdapter: () => new Promise(() => {}) } });
  });
  await expectMissing(stubbed, /has not answered/, /restart the browser/);
});

test("an adapter without shader-f16 trains all the same", async () => {
  const { page, enabled, errors } = await visit(demo, demo.url, () => {
    const request = navigator.gpu.requestAdapter.bind(navigator.gpu);
    navigator.gpu.requestAdapter = async (options) => {
      const adapter = await request(options);
      const features = new Set([...(adapter?.features ?? [])].filter((name) => name !== "shader-f16"));
      if (adapter) Object.defineProperty(adapter, "features", { value: features });
      return adapter;
    };
  });
  await enabled("#train");
  expect(errors).toEqual([]);
  await page.close();
});

test("a model that the device cannot bind is refused before it starts, with the sizes and the cure", async () => {
  const { page, enabled, fill, until, errors } = await visit(demo, demo.url, () => {
    const request = navigator.gpu.requestAdapter.bind(navigator.gpu);
    navigator.gpu.requestAdapter = async (options) => {
      const adapter = await request(options);
      const limits = { maxStorageBufferBindingSize: 128 * 2 ** 20, maxBufferSize: 256 * 2 ** 20 };
      if (adapter) Object.defineProperty(adapter, "limits", { value: limits });
      return adapter;
    };
  });
  await enabled("#train");
  await fill("#width", "4096");
  const sentence = await until("#plan", (now) => /binds at most/.test(now), SOON);
  expect(sentence).toBe(
    "The recurrent weights of a layer take 256 MB, and this device binds at most 128 MB at once. Choose a smaller width.",
  );
  expect(await page.$eval("#train", (button) => (button as HTMLButtonElement).disabled)).toBe(true);
  await fill("#width", "64");
  await enabled("#train");
  expect(errors).toEqual([]);
  await page.close();
});
