import * as tf from "@tensorflow/tfjs";
import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import "@tensorflow/tfjs-backend-webgpu";
import { tfjsEngine } from "./tfjs.ts";

/** tfjs gathers dispatches and submits them late; its encoder exists only while there are some. */
async function sync(): Promise<void> {
  const backend = tf.backend() as WebGPUBackend;
  backend.endComputePassEncoder();
  if ((backend as unknown as { readonly commandEncoder: unknown }).commandEncoder) backend.submitQueue();
  await backend.device.queue.onSubmittedWorkDone();
}

export const engine = tfjsEngine({ backend: "webgpu", sync });
