import { BindGroups, type HasStorage } from "./bindings.ts";
import type { Capture, PassTimer } from "./commands.ts";
import { type DeviceLostError, DisposedError, ValueError } from "./errors.ts";
import { fold, type Groups } from "./groups.ts";
import type { BufferName, EntryName, Kernel, KnobValue, KnobValues, ParamValues } from "./kernel.ts";
import { Pace } from "./pace.ts";
import { PipelineCache } from "./pipelines.ts";
import { BufferPool, type MemoryStats } from "./pool.ts";
import { ReadBack } from "./readback.ts";
import { Recorder, type WorkStats } from "./recorder.ts";
import type { Storage } from "./storage.ts";
import { UniformArena } from "./uniforms.ts";
import { Watch } from "./watch.ts";

export type { HasStorage } from "./bindings.ts";
export type { Groups } from "./groups.ts";

/** What the engine did so far on a device. */
export interface DeviceStats extends WorkStats {
  readonly memory: MemoryStats;
  readonly readBacks: number;
  readonly pipelines: number;
  readonly compileMs: number;
}

/**
 * A `GPUDevice` with what the engine keeps for it: buffer pool, pipelines, recorder. Two devices in one
 * page share nothing. Made by `openDevice`.
 */
export class Device {
  readonly gpu: GPUDevice;
  readonly info: GPUAdapterInfo;
  /** True on a CPU emulation (SwiftShader, llvmpipe, WARP): right, but slow. */
  readonly software: boolean;
  /** Resolves when the device is gone, with the reason; never rejects. */
  readonly lost: Promise<DeviceLostError>;
  readonly pool: BufferPool;
  readonly pipelines: PipelineCache;
  private readonly recorder: Recorder;
  private readonly uniforms: UniformArena;
  private readonly reads: ReadBack;
  private readonly groups: BindGroups;
  private readonly watch: Watch;
  private readonly ownsGpu: boolean;
  private capture: Capture | null = null;
  private uniformOwners = 0;

  constructor(gpu: GPUDevice, info: GPUAdapterInfo, software: boolean, ownsGpu: boolean, maxSubmitMs = 250) {
    this.gpu = gpu;
    this.info = info;
    this.software = software;
    this.ownsGpu = ownsGpu;
    this.uniforms = new UniformArena(gpu, this.uniformOwners++);
    this.recorder = new Recorder(gpu, new Pace(gpu.queue, software, maxSubmitMs), this.uniforms, (error) =>
      this.watch.fail(error),
    );
    this.pool = new BufferPool(gpu, this.recorder);
    this.pipelines = new PipelineCache(gpu);
    this.reads = new ReadBack(gpu, this.recorder);
    this.groups = new BindGroups(gpu, this.pool);
    this.watch = new Watch(gpu);
    this.lost = this.watch.lost;
  }

  get limits(): GPUSupportedLimits {
    return this.gpu.limits;
  }

  has(feature: GPUFeatureName): boolean {
    return this.gpu.features.has(feature);
  }

  get stats(): DeviceStats {
    return {
      ...this.recorder.stats,
      memory: this.pool.stats,
      readBacks: this.reads.count,
      pipelines: this.pipelines.count,
      compileMs: this.pipelines.compileMs,
    };
  }

  /**
   * Records one launch of `kernel.entry`. Nothing runs before `flush`, a read-back or a full batch.
   * @param groups workgroups along x, y, z; none runs if one of them is 0
   */
  dispatch<K extends Kernel, E extends EntryName<K>>(
    kernel: K,
    entry: E,
    buffers: Readonly<Record<BufferName<K, E>, HasStorage>>,
    params: ParamValues<K>,
    groups: Groups,
    knobs?: KnobValues<K>,
  ): void {
    this.check();
    const [x, y, z] = fold(groups, this.limits.maxComputeWorkgroupsPerDimension, `${kernel.name}.${entry}`);
    if (x === 0 || y === 0 || z === 0) return;
    const pipeline = this.pipelines.get(
      kernel,
      entry,
      knobs as Readonly<Record<string, KnobValue | undefined>> | undefined,
    );
    const bindings = kernel.entries[entry]?.bindings ?? [];
    const arena = this.capture?.uniforms ?? this.uniforms;
    const layout = bindings.some(({ access }) => access === "uniform") ? kernel.params : null;
    const uniform = layout && { arena, slot: arena.pack(layout, params, pipeline.label), bytes: layout.size };
    const group = this.groups.get(pipeline, bindings, buffers, uniform, (storage, written) =>
      this.use(storage, written),
    );
    const command = {
      kind: "dispatch" as const,
      pipeline,
      group,
      offsets: uniform ? [uniform.slot.offset] : [],
      x,
      y,
      z,
    };
    if (this.capture) this.capture.commands.push(command);
    else this.recorder.push(command);
  }

  /** Records a copy of `bytes` (a multiple of 4) between two storages. */
  copy(from: Storage, to: Storage, bytes: number): void {
    this.check();
    if (bytes === 0) return;
    const command = {
      kind: "copy" as const,
      from: from.block.buffer,
      fromOffset: from.offset,
      to: to.block.buffer,
      toOffset: to.offset,
      bytes,
    };
    this.use(from, false);
    this.use(to, true);
    if (this.capture) this.capture.commands.push(command);
    else this.recorder.push(command);
  }

  /** Writes host bytes into a storage, after the commands recorded so far. */
  write(to: Storage, data: ArrayBufferView<ArrayBuffer>, offset = 0): void {
    this.check();
    if (this.capture)
      throw new ValueError("write: a captured function may not write tensors from the host; write them before replay");
    to.touch();
    const bytes = padded(data);
    if (this.recorder.idle) this.gpu.queue.writeBuffer(to.block.buffer, to.offset + offset, bytes);
    else this.recorder.push({ kind: "write", to: to.block.buffer, offset: to.offset + offset, data: bytes.slice() });
  }

  /** New memory with host bytes in it; unlike `write`, allowed inside a captured function (a constant of the plan). */
  upload(data: ArrayBufferView<ArrayBuffer>, what: string): Storage {
    this.check();
    const storage = this.pool.allocate(data.byteLength, what, true);
    if (data.byteLength > 0) this.gpu.queue.writeBuffer(storage.block.buffer, storage.offset, padded(data));
    return storage;
  }

  allocate(bytes: number, what: string): Storage {
    this.check();
    return this.pool.allocate(bytes, what);
  }

  /** Reads `bytes` of a storage once everything recorded so far has run. */
  read(storage: Storage, bytes: number): Promise<ArrayBuffer> {
    this.check();
    if (this.capture)
      throw new ValueError(
        "read: a captured function may not read tensors back; return them and read them after replay",
      );
    if (!storage.live)
      throw new DisposedError("read: the tensor was disposed; read it before dispose() or before its scope ends");
    return this.guard(this.reads.read(storage, bytes));
  }

  /** Sends what was recorded to the device without waiting for it. */
  flush(): void {
    this.check();
    this.recorder.flush();
  }

  /** Resolves when everything recorded so far has run. */
  sync(): Promise<void> {
    this.check();
    const done = new Promise<void>((resolve, reject) => {
      this.recorder.whenSubmitted(() => this.gpu.queue.onSubmittedWorkDone().then(() => resolve(), reject));
    });
    this.recorder.flush();
    return this.guard(done);
  }

  /** Races a wait against the loss of the device, and reports the first GPU error since the last wait. */
  guard<T>(wait: Promise<T>): Promise<T> {
    return this.watch.guard(wait);
  }

  /** Throws if the device is gone. */
  check(): void {
    this.watch.check();
  }

  /** Gives unused memory back to the system; returns the bytes. */
  trim(): number {
    this.groups.clear();
    return this.pool.trim();
  }

  /** Ends the device; every pending and later wait rejects with a DeviceLostError of reason `destroyed`. */
  destroy(): void {
    if (this.watch.isLost) return;
    this.watch.lose("destroyed", "destroy() was called");
    this.uniforms.destroy();
    this.reads.destroy();
    this.groups.clear();
    this.pool.destroy();
    if (this.ownsGpu) this.gpu.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  // Used by capture.ts and timing.ts, which complete this class without growing it.

  /** Starts collecting commands for a plan instead of running them; memory made meanwhile is set aside for it. */
  beginCapture(): Capture {
    this.check();
    if (this.capture) throw new ValueError("capture: a captured function may not call capture again");
    this.capture = {
      commands: [],
      held: new Set(),
      written: new Set(),
      reservation: this.pool.reserve(),
      uniforms: new UniformArena(this.gpu, this.uniformOwners++),
    };
    return this.capture;
  }

  endCapture(): void {
    this.pool.unreserve();
    this.capture = null;
  }

  get capturing(): boolean {
    return this.capture !== null;
  }

  replay({ commands, written }: Capture): void {
    this.check();
    if (this.capture) throw new ValueError("replay: a captured function may not replay another plan");
    for (const storage of written) storage.touch();
    this.recorder.push({ kind: "replay", commands });
    // A read-back asked for in the same turn flushes too, and sends its copy along.
    this.recorder.flushSoon(() => this.reads.pending || this.watch.isLost);
  }

  /** Calls back once everything recorded so far was handed to the queue. */
  whenSubmitted(callback: () => void): void {
    this.recorder.whenSubmitted(callback);
  }

  setTimer(timer: PassTimer | null): void {
    this.recorder.flush();
    this.recorder.timer = timer;
  }

  /** Notes that a command uses a storage. A plan holds what is not its own, also if its tensor goes before the plan is done. */
  private use(storage: Storage, written: boolean): void {
    if (written) storage.touch();
    const { capture } = this;
    if (!capture) return;
    if (storage.block.owner !== capture.reservation && !capture.held.has(storage)) capture.held.add(storage.retain());
    if (written) capture.written.add(storage);
  }
}

/** Bytes of a view, padded to the multiple of 4 that queue writes need. */
function padded(data: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length % 4 === 0) return bytes;
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  whole.set(bytes);
  return whole;
}
