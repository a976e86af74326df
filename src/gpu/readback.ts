import { sizeClass } from "./pool.ts";
import type { Recorder } from "./recorder.ts";
import type { Storage } from "./storage.ts";

interface Request {
  readonly storage: Storage;
  readonly bytes: number;
  readonly resolve: (data: ArrayBuffer) => void;
  readonly reject: (error: unknown) => void;
}

/** Staging buffers kept for reuse, a size class. */
const KEEP = 4;

/**
 * Brings tensors to the host. Requests made in one turn of the event loop share one copy, one submit and
 * one `mapAsync`, because some browsers answer a map only every 100 ms.
 */
export class ReadBack {
  private readonly gpu: GPUDevice;
  private readonly recorder: Recorder;
  private readonly staging = new Map<number, GPUBuffer[]>();
  private requests: Request[] = [];
  /** Maps asked for so far. */
  count = 0;

  constructor(gpu: GPUDevice, recorder: Recorder) {
    this.gpu = gpu;
    this.recorder = recorder;
  }

  /** A copy to the host, and a flush, follow at the end of this turn. */
  get pending(): boolean {
    return this.requests.length > 0;
  }

  read(storage: Storage, bytes: number): Promise<ArrayBuffer> {
    if (bytes === 0) return Promise.resolve(new ArrayBuffer(0));
    storage.retain();
    return new Promise((resolve, reject) => {
      this.requests.push({ storage, bytes, resolve, reject });
      if (this.requests.length === 1) queueMicrotask(() => this.start());
    });
  }

  private start(): void {
    const requests = this.requests;
    this.requests = [];
    const offsets: number[] = [];
    let total = 0;
    for (const { bytes } of requests) {
      offsets.push(total);
      total += Math.ceil(bytes / 4) * 4;
    }
    const size = sizeClass(total);
    let buffer: GPUBuffer;
    try {
      buffer =
        this.staging.get(size)?.pop() ??
        this.gpu.createBuffer({ label: "staging", size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
      requests.forEach(({ storage, bytes }, i) => {
        this.recorder.push({
          kind: "copy",
          from: storage.block.buffer,
          fromOffset: storage.offset,
          to: buffer,
          toOffset: offsets[i] as number,
          bytes: Math.ceil(bytes / 4) * 4,
        });
      });
    } catch (error) {
      for (const request of requests) request.reject(error);
      return;
    } finally {
      for (const { storage } of requests) storage.release();
    }
    this.recorder.whenSubmitted(() => {
      this.count++;
      buffer.mapAsync(GPUMapMode.READ, 0, total).then(
        () => {
          const mapped = buffer.getMappedRange(0, total);
          const parts = requests.map(({ bytes }, i) =>
            mapped.slice(offsets[i] as number, (offsets[i] as number) + bytes),
          );
          buffer.unmap();
          this.keep(size, buffer);
          requests.forEach((request, i) => {
            request.resolve(parts[i] as ArrayBuffer);
          });
        },
        (error: unknown) => {
          buffer.destroy();
          for (const request of requests) request.reject(error);
        },
      );
    });
    this.recorder.flush();
  }

  private keep(size: number, buffer: GPUBuffer): void {
    const kept = this.staging.get(size) ?? [];
    if (kept.length < KEEP) {
      kept.push(buffer);
      this.staging.set(size, kept);
    } else buffer.destroy();
  }

  destroy(): void {
    for (const kept of this.staging.values()) for (const buffer of kept) buffer.destroy();
    this.staging.clear();
  }
}
