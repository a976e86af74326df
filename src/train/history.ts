import logKernel from "../../kernels/train/log.wgsl";
import type { Device } from "../gpu/device.ts";
import type { Optimizer } from "../optim/optimizer.ts";
import { tensor } from "../tensor/create.ts";
import { keep } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What one training step did. */
export interface StepRecord {
  /** Mean cross-entropy of the batch before the update, in nats a token. */
  readonly loss: number;
  /** Norm of all gradients before clipping. */
  readonly gradNorm: number;
  /** True if a gradient was not finite, so that nothing was updated. */
  readonly skipped: boolean;
}

/** Steps between two reads at most; more would overwrite unread ones. */
export const HISTORY_CAPACITY = 1024;

/** Losses and gradient norms of the last steps, written on the device and read many at a time. */
export class History {
  private readonly device: Device;
  private readonly ring: Tensor<"f32">;
  private readonly count: Tensor<"u32">;
  private taken = 0;

  constructor(device: Device) {
    this.device = device;
    this.ring = keep(tensor(device, new Float32Array(HISTORY_CAPACITY * 4), [HISTORY_CAPACITY, 4]));
    this.count = keep(tensor(device, new Uint32Array(1)));
  }

  /** Records the appending of a step. */
  append(loss: Tensor, optimizer: Optimizer): void {
    const buffers = { loss, control: optimizer.controlTensor, ring: this.ring, count: this.count };
    this.device.dispatch(logKernel, "append", buffers, { capacity: HISTORY_CAPACITY }, [1]);
  }

  /** The steps since the last call, oldest first; waits for the device. */
  async take(): Promise<StepRecord[]> {
    const [ring, count] = await Promise.all([this.ring.data(), this.count.data()]);
    const end = count[0] as number;
    const records: StepRecord[] = [];
    for (let step = Math.max(this.taken, end - HISTORY_CAPACITY); step < end; step++) {
      const at = (step % HISTORY_CAPACITY) * 4;
      records.push({ loss: ring[at] as number, gradNorm: ring[at + 1] as number, skipped: ring[at + 2] !== 0 });
    }
    this.taken = end;
    return records;
  }

  dispose(): void {
    this.ring.dispose();
    this.count.dispose();
  }
}
