import type { Groups } from "../../gpu/device.ts";
import { empty, fill } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Cell } from "./cell.ts";
import { type Form, formOf, type Tile, tileOf } from "./form.ts";
import type { Sizes, TapeLayout } from "./layout.ts";

/** Batch entries that one workgroup carries, as the components of a vector. */
const ENTRIES = 4;

/** Hidden state, and the cell of an LSTM, each [D, B, H]. */
export interface State {
  readonly h: Tensor;
  readonly c: Tensor | null;
}

interface Run {
  readonly cell: Cell;
  readonly sizes: Sizes;
  readonly layout: TapeLayout;
  readonly tape: Tensor;
  /** Packed, see pack.ts. */
  readonly weights: Tensor;
  readonly lengths: Tensor | null;
  readonly form?: Form | undefined;
}

export interface ForwardRun extends Run {
  readonly y: Tensor;
  /** State before the first step; null for zeros. */
  readonly before: State | null;
  /** State after the last step; written. */
  readonly after: State;
  /** Keep what backward reads in the tape. */
  readonly recorded: boolean;
}

export interface BackwardRun extends Run {
  /** Null if y has no gradient. */
  readonly dy: Tensor | null;
  /** Gradients of the gates' sums; written. Those of the hidden projection go to `db` where they differ. */
  readonly dz: Tensor;
  readonly db: Tensor | null;
  /** Gradient of the state after the last step, if `given`; overwritten by that of the state before the first. */
  readonly state: State;
  readonly given: boolean;
}

/** Runs the recurrence over the gate sums in `tape`: one launch, or one a step. */
export function runForward({ cell, sizes, layout, tape, weights, lengths, y, before, after, recorded, form }: ForwardRun): void {
  const { steps, width, directions } = sizes;
  const { device } = tape;
  const launch = (entry: "forward" | "forward_step", tile: Tile, groups: Groups, step: number, from: State | null, to: State): void => {
    // A binding without a tensor takes any: the kernel does not look at it.
    const state = { h0: from?.h ?? weights, c0: from?.c ?? weights, hn: to.h, cn: to.c ?? to.h };
    const flags = { given: Number(from !== null), ragged: Number(lengths !== null), keep: Number(recorded) };
    const buffers = { tape, weights, lengths: lengths ?? weights, y, ...state };
    device.dispatch(cell.forward, entry, buffers, { ...sizes, ...layout, ...flags, step }, groups, { ...tile, ...cell.knobs });
  };
  if (steps === 0) {
    passState(before, after);
    return;
  }
  const chosen = formOf(width, form);
  const tile = tileOf(chosen, width, device.software);
  const tiles = Math.ceil(sizes.batch / ENTRIES);
  if (chosen === "sequence") {
    launch("forward", tile, [tiles, directions], 0, before, after);
    return;
  }
  // A step reads all of the state before it, so consecutive steps write to different ones.
  const spare = (): State => ({ h: empty(device, after.h.shape), c: after.c && empty(device, after.c.shape) });
  const spares = Array.from({ length: Math.min(2, steps - 1) }, spare);
  let from = before;
  for (let step = 0; step < steps; step++) {
    const to = step === steps - 1 ? after : (spares[step % 2] as State);
    launch("forward_step", tile, [Math.ceil(width / tile.UNITS), tiles, directions], step, from, to);
    from = to;
  }
  for (const { h, c } of spares) {
    h.dispose();
    c?.dispose();
  }
}

/** No steps leave the state as it was. */
function passState(before: State | null, after: State): void {
  const pass = (from: Tensor | null | undefined, to: Tensor | null): void => {
    if (to && from) to.device.copy(from.storage, to.storage, to.bytes);
    else if (to) fill(to as Tensor<"f32">, 0);
  };
  pass(before?.h, after.h);
  pass(before?.c, after.c);
}

/** Runs the recurrence backwards over what `runForward` kept. */
export function runBackward({ cell, sizes, layout, tape, weights, lengths, dy, dz, db, state, given, form }: BackwardRun): void {
  const { steps, width, directions } = sizes;
  const { device } = tape;
  const launch = (entry: "backward" | "backward_step", tile: Tile, groups: Groups, step: number): void => {
    const flags = { given: Number(given), ragged: Number(lengths !== null), upstream: Number(dy !== null) };
    const written = { dz, db: db ?? dz, dh: state.h, dc: state.c ?? state.h };
    const buffers = { tape, weights, lengths: lengths ?? weights, dy: dy ?? weights, ...written };
    device.dispatch(cell.backward, entry, buffers, { ...sizes, ...layout, ...flags, step }, groups, { ...tile, ...cell.knobs });
  };
  const chosen = formOf(width, form);
  const tile = tileOf(chosen, width, device.software);
  const tiles = Math.ceil(sizes.batch / ENTRIES);
  if (chosen === "sequence") {
    launch("backward", tile, [tiles, directions], 0);
    return;
  }
  for (let step = 0; step <= steps; step++) {
    launch("backward_step", tile, [Math.ceil(width / tile.UNITS), tiles, directions], step);
  }
}
