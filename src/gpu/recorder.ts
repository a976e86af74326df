import type { Command, DispatchCommand, PassTimer, PlanCommand } from "./commands.ts";
import type { Pipeline } from "./pipelines.ts";
import type { BatchClock } from "./pool.ts";
import type { UniformArena } from "./uniforms.ts";

/** Work sent to the device so far. */
export interface WorkStats {
  readonly dispatches: number;
  readonly submits: number;
}

interface Batch {
  readonly number: number;
  readonly commands: Command[];
  readonly uniforms: Uint32Array<ArrayBuffer>[];
  readonly submitted: (() => void)[];
}

/** Enough commands to keep a device busy while more are recorded. */
const FLUSH_AFTER = 512;

/**
 * Collects commands in order and submits them in batches. A batch whose pipelines are still compiling
 * waits without blocking the thread, and later batches wait behind it.
 */
export class Recorder implements BatchClock {
  private readonly gpu: GPUDevice;
  private readonly uniforms: UniformArena;
  private readonly onError: (error: unknown) => void;
  private commands: Command[] = [];
  private submittedCallbacks: (() => void)[] = [];
  private waiting: Batch[] = [];
  private draining = false;
  private batch = 1;
  private done = 0;
  private dispatchCount = 0;
  private submitCount = 0;
  timer: PassTimer | null = null;

  constructor(gpu: GPUDevice, uniforms: UniformArena, onError: (error: unknown) => void) {
    this.gpu = gpu;
    this.uniforms = uniforms;
    this.onError = onError;
  }

  get recording(): number {
    return this.commands.length === 0 && this.waiting.length === 0 ? this.done : this.batch;
  }

  get submitted(): number {
    return this.done;
  }

  get stats(): WorkStats {
    return { dispatches: this.dispatchCount, submits: this.submitCount };
  }

  get idle(): boolean {
    return this.commands.length === 0 && this.waiting.length === 0;
  }

  push(command: Command): void {
    this.commands.push(command);
    if (this.commands.length >= FLUSH_AFTER) this.flush();
  }

  /** Calls back once everything recorded so far was handed to the queue. */
  whenSubmitted(callback: () => void): void {
    if (this.commands.length > 0) this.submittedCallbacks.push(callback);
    else {
      const last = this.waiting.at(-1);
      if (last) last.submitted.push(callback);
      else callback();
    }
  }

  /** Submits what was recorded: at once if every pipeline is ready, else as soon as they are. */
  flush(): void {
    if (this.commands.length === 0) return;
    const batch: Batch = {
      number: this.batch++,
      commands: this.commands,
      uniforms: this.uniforms.take(),
      submitted: this.submittedCallbacks,
    };
    this.commands = [];
    this.submittedCallbacks = [];
    if (this.waiting.length === 0 && pipelinesOf(batch.commands).length === 0) {
      this.submit(batch);
      return;
    }
    this.uniforms.detach();
    this.waiting.push(batch);
    if (!this.draining) void this.drain();
  }

  private async drain(): Promise<void> {
    this.draining = true;
    for (let batch = this.waiting[0]; batch; batch = this.waiting[0]) {
      try {
        await Promise.all(pipelinesOf(batch.commands).map((pipeline) => pipeline.compiled));
        this.waiting.shift();
        this.submit(batch);
      } catch (error) {
        if (this.waiting[0] === batch) this.waiting.shift();
        this.done = batch.number;
        this.onError(error);
        for (const callback of batch.submitted) callback();
      }
    }
    this.draining = false;
  }

  private submit(batch: Batch): void {
    this.uniforms.upload(batch.uniforms);
    let encoder: GPUCommandEncoder | null = null;
    let pass: GPUComputePassEncoder | null = null;
    const endPass = () => {
      pass?.end();
      pass = null;
    };
    const endSubmit = () => {
      endPass();
      if (!encoder) return;
      this.gpu.queue.submit([encoder.finish()]);
      this.submitCount++;
      encoder = null;
    };
    const encode = (list: readonly Command[] | readonly PlanCommand[]) => {
      let pipeline: Pipeline | null = null;
      for (const command of list) {
        if (command.kind === "replay") {
          encode(command.commands);
          pipeline = null;
        } else if (command.kind === "write") {
          endSubmit();
          pipeline = null;
          this.gpu.queue.writeBuffer(command.to, command.offset, command.data);
        } else if (command.kind === "copy") {
          endPass();
          pipeline = null;
          encoder ??= this.gpu.createCommandEncoder();
          encoder.copyBufferToBuffer(command.from, command.fromOffset, command.to, command.toOffset, command.bytes);
        } else {
          encoder ??= this.gpu.createCommandEncoder();
          const { timer } = this;
          const timestampWrites = pass && timer?.whole ? undefined : timer?.next(command.pipeline.label);
          const alone = timestampWrites && !timer?.whole;
          if (alone) {
            endPass();
            pipeline = null;
          }
          pass ??= encoder.beginComputePass(timestampWrites ? { timestampWrites } : undefined);
          if (pipeline !== command.pipeline) pass.setPipeline(compiled(command));
          pipeline = command.pipeline;
          pass.setBindGroup(0, command.group, command.offsets);
          pass.dispatchWorkgroups(command.x, command.y, command.z);
          this.dispatchCount++;
          if (alone) {
            endPass();
            pipeline = null;
          }
        }
      }
    };
    encode(batch.commands);
    endSubmit();
    this.done = batch.number;
    for (const callback of batch.submitted) callback();
  }
}

/** Pipelines of these commands that are still compiling; a plan's are ready before it is replayed. */
export function pipelinesOf(commands: readonly Command[]): Pipeline[] {
  const found = new Set<Pipeline>();
  for (const command of commands) {
    if (command.kind === "dispatch" && !command.pipeline.ready) found.add(command.pipeline);
  }
  return [...found];
}

function compiled(command: DispatchCommand): GPUComputePipeline {
  if (!command.pipeline.ready) throw new Error(`${command.pipeline.label}: submitted before it was compiled`);
  return command.pipeline.ready;
}
