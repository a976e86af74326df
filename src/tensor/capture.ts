import type { Device } from "../gpu/device.ts";
import { captureCommands, type Plan } from "../gpu/plan.ts";
import { scope } from "./scope.ts";

/**
 * Captures a function of tensors for replay: `fn` runs once to record its commands, which `plan.replay()`
 * then executes on whatever its input tensors hold (write new values with `tensor.write`). Nothing runs on
 * the device before the first replay; intermediates share the plan's memory, results are `plan.outputs`.
 *
 * Numbers that `fn` reads are frozen: learning rates, step counts and seeds must live in tensors.
 *
 * @example
 * const step = await capture(device, () => ({ loss: trainStep(inputs, targets) }));
 * for (const batch of batches) {
 *   inputs.write(batch.inputs);
 *   step.replay();
 * }
 */
export function capture<R>(device: Device, fn: () => R): Promise<Plan<R>> {
  return captureCommands(device, () => scope(fn));
}
