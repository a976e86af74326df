/** How a recurrence is run: all steps in one launch, or a launch a step. */
export type Form = "sequence" | "step";

/** Knobs of the forward kernels of whole layers. */
export interface ForwardTile {
  readonly LANES: number;
  readonly UNITS: number;
  readonly SPAN: number;
  /** Where the hidden state is read: 0 workgroup memory, 1 tape, 2 the state that the last launch left. */
  readonly SOURCE: 0 | 1 | 2;
}

/** Knobs of the backward kernels. */
export interface BackwardTile {
  readonly LANES: number;
  readonly UNITS: number;
  readonly SPAN: number;
  readonly SHARED: boolean;
}

/**
 * Up to here one workgroup runs all steps of its batch entries. Wider layers read so much weight a step (4 H^2 values)
 * that a launch a step, over every core of a GPU, costs less than one core reading it all. On a CPU emulation, which has
 * few cores and slow launches, one launch pays as far as it can go.
 */
const SEQUENCE_WIDTH = 128;
/** A sequence workgroup has a lane a unit. */
const SEQUENCE_LIMIT = 256;
/** Invocations a workgroup by WebGPU's default limits, and bytes of memory that they share. */
const MOST_LANES = 256;
const WORKGROUP_BYTES = 16384;
/** Terms of a sum that make another lane worth its share of the final additions. */
const TERMS = 16;
const MATRIX_BYTES = 64;

/** The faster form by the width of the layer; `wanted` overrides it where that is possible. */
export function formOf(width: number, software: boolean, wanted?: Form): Form {
  if (width > SEQUENCE_LIMIT) return "step";
  return wanted ?? (width <= (software ? SEQUENCE_LIMIT : SEQUENCE_WIDTH) ? "sequence" : "step");
}

/**
 * On a GPU, lanes beyond one a unit share its sum, to keep more reads in flight, and the hidden state stays in
 * workgroup memory. A CPU emulation runs lanes one after the other, has no fast memory and takes long to compile what
 * clears it.
 */
export function forwardTile(form: Form, width: number, software: boolean): ForwardTile {
  if (form === "step")
    return software ? { LANES: 32, UNITS: 32, SPAN: 1, SOURCE: 2 } : { LANES: 128, UNITS: 16, SPAN: 1, SOURCE: 2 };
  const UNITS = Math.ceil(width / 8) * 8;
  if (software) return { LANES: UNITS, UNITS, SPAN: 1, SOURCE: 1 };
  return { LANES: UNITS * sharers(UNITS, MOST_LANES, width), UNITS, SPAN: UNITS, SOURCE: 0 };
}

/** As `forwardTile`; a lane owns four units here. */
export function backwardTile(form: Form, width: number, software: boolean, gates: number): BackwardTile {
  if (form === "step")
    return software
      ? { LANES: 16, UNITS: 64, SPAN: 1, SHARED: false }
      : { LANES: 128, UNITS: 64, SPAN: 1, SHARED: false };
  const UNITS = Math.ceil(width / 8) * 8;
  const owners = UNITS / 4;
  // Gradients of the gates and of h of four entries; what is left holds sums of lanes that help another.
  const left = WORKGROUP_BYTES - 4 * 4 * (gates + 1) * UNITS - MATRIX_BYTES;
  if (software || left < 0) return { LANES: owners, UNITS, SPAN: 1, SHARED: false };
  const most = Math.min(MOST_LANES, owners + Math.floor(left / MATRIX_BYTES));
  return { LANES: owners * sharers(owners, most, gates * width), UNITS, SPAN: UNITS, SHARED: true };
}

/** Lanes for each of `owners` sums of `terms` terms, of at most `most` in all. */
function sharers(owners: number, most: number, terms: number): number {
  return Math.max(1, Math.min(Math.floor(most / owners), Math.ceil(terms / TERMS)));
}

/** Workgroup sizes of the kernels that make one step of one batch entry. */
export function cellTile(software: boolean): { readonly LANES: number; readonly UNITS: number } {
  return software ? { LANES: 32, UNITS: 32 } : { LANES: 256, UNITS: 16 };
}
