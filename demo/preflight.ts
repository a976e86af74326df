import type { Failure, SeenLimits } from "./protocol.ts";

/** Why training cannot start here; the engine's own reasons and two that only a page can see. */
export type Missing = "insecure-context" | "no-webgpu" | "no-adapter" | "no-device" | "no-worker-webgpu" | "no-answer";

/** After this long without an answer the visitor is told so. */
const PATIENCE_MS = 2500;

const SENTENCES: Record<Missing, string> = {
  "insecure-context":
    "This page was opened over plain http, and browsers offer the GPU only to secure pages. Open it over https, or on localhost.",
  "no-webgpu":
    "This browser does not offer WebGPU, which training needs. Open this page in Chrome or Edge 113, Safari 26, Firefox 141, or later.",
  "no-adapter":
    "This browser has WebGPU but finds no GPU it can use. Turn on hardware acceleration in the browser's settings, update the graphics driver, then restart the browser.",
  "no-device": "The GPU refused to open. Close other pages and programs that use it, then reload this page.",
  "no-worker-webgpu":
    "This browser offers WebGPU to pages but not to the workers that train. Open this page in Chrome, Edge or Safari; in Firefox set dom.webgpu.workers.enabled in about:config.",
  "no-answer":
    "The GPU has not answered yet. If this does not change in a minute, restart the browser and open this page again.",
};

export function unavailable(reason: Missing): Failure {
  return { kind: "unavailable", reason, sentence: SENTENCES[reason] };
}

/** The failure in the page's own words where the reason is known; `pageHasGpu` tells a worker without WebGPU from a browser without. */
export function inPageWords(failure: Failure, pageHasGpu: boolean): Failure {
  if (failure.kind !== "unavailable" || !failure.reason) return failure;
  if (failure.reason === "no-webgpu" && pageHasGpu) return unavailable("no-worker-webgpu");
  return failure.reason in SENTENCES ? unavailable(failure.reason as Missing) : failure;
}

/**
 * Asks the page's own WebGPU what the worker will ask again, so that a visitor who cannot train learns
 * why at once, before the worker and the engine have even loaded.
 * @param slow called if the browser has not answered within a moment; the answer may still come
 */
export async function preflight(slow: (failure: Failure) => void): Promise<SeenLimits | Failure> {
  const gpu: GPU | undefined = navigator.gpu;
  if (!gpu) return unavailable(window.isSecureContext ? "no-webgpu" : "insecure-context");
  const timer = setTimeout(() => slow(unavailable("no-answer")), PATIENCE_MS);
  try {
    const adapter = await gpu.requestAdapter().catch(() => null);
    if (!adapter) return unavailable("no-adapter");
    const { maxStorageBufferBindingSize, maxBufferSize } = adapter.limits;
    const device = await adapter.requestDevice().catch(() => null);
    if (!device) return unavailable("no-device");
    device.destroy();
    return { maxStorageBufferBindingSize, maxBufferSize };
  } finally {
    clearTimeout(timer);
  }
}
