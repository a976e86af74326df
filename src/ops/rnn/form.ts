/** How a recurrence is run: all steps in one launch, or a launch a step. */
export type Form = "sequence" | "step";

/** Workgroup sizes of a recurrence kernel, named as its knobs. */
export interface Tile {
  readonly LANES: number;
  readonly UNITS: number;
  readonly SPAN: number;
}

/**
 * Up to here one workgroup runs all steps of its batch entries. Wider layers read so much weight a step (4 H^2 values)
 * that a launch a step, over every core of the device, costs less than one core reading it all.
 */
const SEQUENCE_WIDTH = 192;
/** A sequence workgroup has a lane a unit; beyond, the default limits of WebGPU leave only the step form. */
const SEQUENCE_LIMIT = 248;
/** Invocations a workgroup on a device that runs lanes side by side. */
const LANES = 256;
/** Values of the inner sum that make another lane worth its share of the final additions. */
const SHARE = 16;

/** The faster form by the width of the layer; `wanted` overrides it where that is possible. */
export function formOf(width: number, wanted?: Form): Form {
  if (width > SEQUENCE_LIMIT) return "step";
  return wanted ?? (width <= SEQUENCE_WIDTH ? "sequence" : "step");
}

/**
 * Workgroup sizes that keep within the default limits. Lanes beyond one a unit share its inner sum, to keep more reads
 * in flight; a CPU emulation runs lanes one after the other and is better off without.
 */
export function tileOf(form: Form, width: number, software: boolean): Tile {
  if (form === "step") return software ? { LANES: 32, UNITS: 32, SPAN: 64 } : { LANES: 128, UNITS: 16, SPAN: 64 };
  const UNITS = Math.max(8, Math.ceil(width / 8) * 8);
  const sharers = software ? 1 : Math.max(1, Math.min(Math.floor(LANES / UNITS), Math.ceil(width / SHARE)));
  return { LANES: UNITS * sharers, UNITS, SPAN: UNITS };
}

/** Workgroup sizes of the kernels that make one step of one batch entry. */
export function stepTileOf(software: boolean): Tile {
  return software ? { LANES: 32, UNITS: 32, SPAN: 256 } : { LANES: 256, UNITS: 16, SPAN: 256 };
}
