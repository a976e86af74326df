/** WebGPU for tests, the same in Chrome and in Node. */

/** Dawn's instance: collected while devices of it live, it would take the process down. */
let dawn: GPU | null = null;

async function createDawn(): Promise<GPU> {
  // The variable keeps bundlers from following an import that only Node can resolve.
  const webgpu = "webgpu";
  const { create, globals } = (await import(/* @vite-ignore */ webgpu)) as typeof import("webgpu");
  Object.assign(globalThis, globals);
  return create([]);
}

/** `navigator.gpu` in a browser, Dawn in Node, where the WebGPU globals are assigned first. */
export async function getGpu(): Promise<GPU> {
  if (typeof navigator !== "undefined" && navigator.gpu) return navigator.gpu;
  dawn ??= await createDawn();
  return dawn;
}
