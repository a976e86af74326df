import type { Pipeline } from "./pipelines.ts";
import type { Reservation, Storage } from "./storage.ts";
import type { UniformArena } from "./uniforms.ts";

/** One kernel launch with everything resolved but the pipeline's compilation. */
export interface DispatchCommand {
  readonly kind: "dispatch";
  readonly pipeline: Pipeline;
  readonly group: GPUBindGroup;
  /** Dynamic offset of the uniform struct, or none. */
  readonly offsets: readonly number[];
  readonly x: number;
  readonly y: number;
  readonly z: number;
}

/** Bytes copied between buffers; ends the compute pass. */
export interface CopyCommand {
  readonly kind: "copy";
  readonly from: GPUBuffer;
  readonly fromOffset: number;
  readonly to: GPUBuffer;
  readonly toOffset: number;
  readonly bytes: number;
}

/** A host write that must wait for the commands before it; ends the submit. */
export interface WriteCommand {
  readonly kind: "write";
  readonly to: GPUBuffer;
  readonly offset: number;
  readonly data: Uint8Array<ArrayBuffer>;
}

/** A captured plan, run once more. */
export interface ReplayCommand {
  readonly kind: "replay";
  readonly commands: readonly PlanCommand[];
}

export type PlanCommand = DispatchCommand | CopyCommand;
export type Command = PlanCommand | WriteCommand | ReplayCommand;

/** Commands captured for a plan, with the memory that they use. */
export interface Capture {
  readonly commands: PlanCommand[];
  /** Memory from outside the plan, retained from the first command that uses it. */
  readonly held: Set<Storage>;
  /** What a command writes. */
  readonly written: Set<Storage>;
  readonly reservation: Reservation;
  readonly uniforms: UniformArena;
}

/** Gives each dispatch a pass of its own with timestamps, or times the passes as they are. */
export interface PassTimer {
  /** Asked once a pass instead of once a dispatch. */
  readonly whole?: boolean;
  next(label: string): GPUComputePassTimestampWrites | undefined;
}
