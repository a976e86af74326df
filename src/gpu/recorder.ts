import type { Command, PassTimer } from "./commands.ts";
import { Encoder } from "./encoder.ts";
import type { Pace } from "./pace.ts";
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

/** Enough launches and copies to keep a device busy while more are recorded. */
const FLUSH_AFTER = 512;

/**
 * Collects commands in order and submits them in batches. A batch whose pipelines are still compiling
 * waits without blocking the thread, and later batches wait behind it.
 */
export class Recorder implements BatchClock {
  private readonly encoder: Encoder;
  private readonly uniforms: UniformArena;
  private readonly onError: (error: unknown) => void;
  private commands: Command[] = [];
  private submittedCallbacks: (() => void)[] = [];
  private waiting: Batch[] = [];
  private draining = false;
  private batch = 1;
  private done = 0;
  /** Launches, copies and writes in `commands`, those of replayed plans counted one by one. */
  private pending = 0;
  private flushing = false;

  constructor(gpu: GPUDevice, pace: Pace, uniforms: UniformArena, onError: (error: unknown) => void) {
    this.encoder = new Encoder(gpu, pace);
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
    return { dispatches: this.encoder.dispatches, submits: this.encoder.submits };
  }

  /** Times the passes encoded from now on. */
  set timer(timer: PassTimer | null) {
    this.encoder.timer = timer;
  }

  get idle(): boolean {
    return this.commands.length === 0 && this.waiting.length === 0;
  }

  push(command: Command): void {
    this.commands.push(command);
    this.pending += command.kind === "replay" ? command.commands.length : 1;
    if (this.pending >= FLUSH_AFTER) this.flush();
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
    this.pending = 0;
    this.submittedCallbacks = [];
    if (this.waiting.length === 0 && pipelinesOf(batch.commands).length === 0) {
      this.submit(batch);
      return;
    }
    this.uniforms.detach();
    this.waiting.push(batch);
    if (!this.draining) void this.drain();
  }

  /** Flushes at the end of this turn, unless `needless` says then that nobody needs it. */
  flushSoon(needless: () => boolean): void {
    if (this.flushing) return;
    this.flushing = true;
    queueMicrotask(() => {
      this.flushing = false;
      if (!needless()) this.flush();
    });
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
    this.encoder.run(batch.commands);
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
