/** WebGPU for tests, the same in Chrome and in Node. */

/** Dawn's instance: collected while devices of it live, it would take the process down. */
let dawn: GPU | null = null;

/** Dawn on SwiftShader, unless VK_ICD_FILENAMES names another driver. It reads the variable as it loads. */
async function createDawn(): Promise<GPU> {
  // Names in variables keep browsers' bundlers from following imports that only Node can resolve.
  const [tools, webgpu] = ["../../scripts/chrome.ts", "webgpu"];
  const { findChrome, findVulkan } = (await import(
    /* @vite-ignore */ tools
  )) as typeof import("../../scripts/chrome.ts");
  const vulkan = findVulkan(await findChrome());
  if ("missing" in vulkan)
    throw new Error(`Dawn cannot run: this machine has no ${vulkan.missing}; try \`npm run browser\``);
  Object.assign(process.env, vulkan.env);
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
