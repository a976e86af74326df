import type { Command, DispatchCommand, PassTimer, PlanCommand } from "./commands.ts";
import type { Pace } from "./pace.ts";
import type { Pipeline } from "./pipelines.ts";

/** Turns commands into compute passes and submits, as few as their order and their length allow. */
export class Encoder {
  private readonly gpu: GPUDevice;
  private readonly pace: Pace;
  private encoder: GPUCommandEncoder | null = null;
  private pass: GPUComputePassEncoder | null = null;
  /** Pipeline set in the pass. */
  private pipeline: Pipeline | null = null;
  timer: PassTimer | null = null;
  dispatches = 0;
  submits = 0;

  constructor(gpu: GPUDevice, pace: Pace) {
    this.gpu = gpu;
    this.pace = pace;
  }

  /** Encodes and submits all of these; their pipelines are compiled. */
  run(commands: readonly Command[]): void {
    this.encode(commands);
    this.submit();
  }

  private encode(commands: readonly Command[] | readonly PlanCommand[]): void {
    for (const command of commands) {
      if (command.kind === "dispatch") this.dispatch(command);
      else if (command.kind === "replay") this.encode(command.commands);
      else if (command.kind === "write") {
        this.submit();
        this.gpu.queue.writeBuffer(command.to, command.offset, command.data);
      } else {
        this.endPass();
        this.encoder ??= this.gpu.createCommandEncoder();
        this.encoder.copyBufferToBuffer(command.from, command.fromOffset, command.to, command.toOffset, command.bytes);
      }
    }
  }

  private dispatch(command: DispatchCommand): void {
    if (this.pace.add(command)) {
      this.submit();
      this.pace.add(command);
    }
    const { timer } = this;
    const timestampWrites = timer && !(this.pass && timer.whole) ? timer.next(command.pipeline.label) : undefined;
    const alone = timestampWrites !== undefined && !timer?.whole;
    if (alone) this.endPass();
    this.encoder ??= this.gpu.createCommandEncoder();
    this.pass ??= this.encoder.beginComputePass(timestampWrites ? { timestampWrites } : undefined);
    if (this.pipeline !== command.pipeline) this.pass.setPipeline(compiled(command));
    this.pipeline = command.pipeline;
    this.pass.setBindGroup(0, command.group, command.offsets);
    this.pass.dispatchWorkgroups(command.x, command.y, command.z);
    this.dispatches++;
    if (alone) this.endPass();
  }

  private endPass(): void {
    this.pass?.end();
    this.pass = null;
    this.pipeline = null;
  }

  private submit(): void {
    this.endPass();
    if (!this.encoder) return;
    this.gpu.queue.submit([this.encoder.finish()]);
    this.encoder = null;
    this.submits++;
    this.pace.submitted();
  }
}

function compiled({ pipeline }: DispatchCommand): GPUComputePipeline {
  if (!pipeline.ready) throw new Error(`${pipeline.label}: submitted before it was compiled`);
  return pipeline.ready;
}
