import type { Failure } from "./failure.ts";
import type { Size } from "./settings.ts";

/** Limits that the page itself saw on its adapter; the smaller of these and the worker's own count. */
export interface SeenLimits {
  readonly maxStorageBufferBindingSize: number;
  readonly maxBufferSize: number;
}

export interface DeviceReport {
  /** In words: "Apple M2", "SwiftShader". */
  readonly name: string;
  /** An emulation on the CPU: right, but slow. */
  readonly software: boolean;
  /** One size for each stop of the slider, smallest first, chosen for this device. */
  readonly sizes: readonly Size[];
}

export interface DeviceCalls {
  open(limits: SeenLimits): DeviceReport;
}

export type DeviceEvent =
  /** The device was lost and another opened, or training failed; `step` is where the run stands now, null if none was kept. */
  | { readonly kind: "restored"; readonly sentence: string; readonly step: number | null }
  | { readonly kind: "failure"; readonly failure: Failure };
