import type { Capture } from "./commands.ts";
import type { Device } from "./device.ts";
import { DisposedError, ValueError } from "./errors.ts";
import { pipelinesOf } from "./recorder.ts";

/**
 * Commands of one captured call with their buffers. `replay` runs them again on whatever the input
 * tensors hold now, with none of the function's own JavaScript. Made by `capture`.
 */
export class Plan<R> {
  /** What the captured function returned; every replay overwrites these tensors. */
  readonly outputs: R;
  readonly device: Device;
  private readonly captured: Capture;
  private disposed = false;

  constructor(device: Device, outputs: R, captured: Capture) {
    this.device = device;
    this.outputs = outputs;
    this.captured = captured;
  }

  /** Kernel launches a replay makes. */
  get dispatches(): number {
    return this.captured.commands.filter((command) => command.kind === "dispatch").length;
  }

  /**
   * Enqueues the whole plan; does not wait. It is sent at the end of the turn, in one submit with what else the
   * turn recorded and reads back, or in several where it is thought to run over 200 ms.
   */
  replay(): void {
    if (this.disposed) throw new DisposedError("replay: the plan was disposed; capture the function again");
    this.device.replay(this.captured);
  }

  /** Gives the plan's memory back. Outputs that are still referenced stay valid until they are disposed. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    giveBack(this.device, this.captured);
    // A replay may still wait behind a batch whose pipelines are compiling.
    this.device.whenSubmitted(() => this.captured.uniforms.destroy());
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Records what `fn` would run, without running it, and compiles its pipelines. Values that change from call
 * to call (learning rate, step number, positions, tokens) must live in tensors, not in JavaScript numbers:
 * numbers are frozen into the plan.
 *
 * `fn` may create tensors from the host (they become constants of the plan) but may neither write to
 * existing tensors nor read back. Wrap it in `scope` so that its intermediates are given back to the plan.
 * @throws ValueError if `fn` returns a promise
 */
export async function captureCommands<R>(device: Device, fn: () => R): Promise<Plan<R>> {
  const captured = device.beginCapture();
  let outputs: R;
  try {
    outputs = fn();
    if (outputs instanceof Promise)
      throw new ValueError("capture: the function is async; record work synchronously and read results after replay");
  } catch (error) {
    giveBack(device, captured);
    captured.uniforms.destroy();
    throw error;
  } finally {
    device.endCapture();
  }
  captured.uniforms.upload(captured.uniforms.take());
  captured.uniforms.detach();
  const plan = new Plan(device, outputs, captured);
  await device.guard(Promise.all(pipelinesOf(captured.commands).map((pipeline) => pipeline.compiled)));
  return plan;
}

function giveBack(device: Device, { held, reservation }: Capture): void {
  for (const storage of held) storage.release();
  device.pool.close(reservation);
}
