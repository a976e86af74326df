import { DeviceLostError, GpuError } from "./errors.ts";

/** How long after a failed wait the device may still turn out to be lost. */
const LOSS_MS = 100;

/**
 * Races waits against the loss of a device, so that every promise settles, and passes on errors that WebGPU
 * reports apart from any call.
 */
export class Watch {
  /** Resolves when the device is gone; never rejects. */
  readonly lost: Promise<DeviceLostError>;
  private readonly waiters = new Set<(error: Error) => void>();
  private gone: DeviceLostError | null = null;
  private failure: Error | null = null;

  constructor(gpu: GPUDevice) {
    gpu.addEventListener?.("uncapturederror", (event) => this.fail(new GpuError(`WebGPU: ${event.error.message}`)));
    this.lost = gpu.lost.then((info) => this.lose(info.reason === "destroyed" ? "destroyed" : "unknown", info.message));
  }

  get isLost(): boolean {
    return this.gone !== null;
  }

  /** Throws if the device is gone. */
  check(): void {
    if (this.gone) throw this.gone;
  }

  /** Settles like `wait`, or rejects when the device is lost or with the first GPU error since the last wait. */
  guard<T>(wait: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.gone) {
        wait.catch(() => {});
        reject(this.gone);
        return;
      }
      this.waiters.add(reject);
      wait.then(
        (value) => {
          this.waiters.delete(reject);
          const error = this.gone ?? this.failure;
          this.failure = null;
          if (error) reject(error);
          else resolve(value);
        },
        (error: unknown) => {
          // A dying device may end its waits before it says that it is lost, which then rejects this one too.
          setTimeout(
            () => {
              this.waiters.delete(reject);
              reject(this.gone ?? error);
            },
            this.gone ? 0 : LOSS_MS,
          );
        },
      );
    });
  }

  /** Keeps an error for the next wait. */
  fail(error: unknown): void {
    this.failure ??= error instanceof Error ? error : new GpuError(String(error));
  }

  lose(reason: "destroyed" | "unknown", message: string): DeviceLostError {
    this.gone ??= new DeviceLostError(
      reason,
      reason === "destroyed"
        ? "the device was destroyed; open another with openDevice()"
        : `the GPU device was lost (${message || "no reason given"}); open another with openDevice() and load the last checkpoint`,
    );
    const waiters = [...this.waiters];
    this.waiters.clear();
    for (const reject of waiters) reject(this.gone);
    return this.gone;
  }
}
