import { empty, fill } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Cell } from "./cell.ts";
import { backwardTile, type Form, formOf, forwardTile } from "./form.ts";
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

/** Runs the recurrence over the gates' sums in `tape`: one launch, or one a step. */
export function runForward({
  cell,
  sizes,
  layout,
  tape,
  weights,
  lengths,
  y,
  before,
  after,
  recorded,
  form,
}: ForwardRun): void {
  const { steps, width, directions } = sizes;
  const { device } = tape;
  if (steps === 0) {
    passState(before, after);
    return;
  }
  const chosen = formOf(width, device.software, form);
  const tile = forwardTile(chosen, width, device.software);
  const groups = [Math.ceil(width / tile.UNITS), Math.ceil(sizes.batch / ENTRIES), directions] as const;
  const launch = (first: number, last: number, from: State | null, to: State): void => {
    // A binding without a tensor takes any: the kernel does not look at it.
    const state = { h0: from?.h ?? weights, c0: from?.c ?? weights, hn: to.h, cn: to.c ?? to.h };
    const flags = { given: Number(from !== null), ragged: Number(lengths !== null), keep: Number(recorded) };
    const buffers = { tape, weights, lengths: lengths ?? weights, y, ...state };
    const knobs = { ...tile, ...cell.knobs, ALIGNED: width % 4 === 0 };
    device.dispatch(cell.forward, "forward", buffers, { ...sizes, ...layout, ...flags, first, last }, groups, knobs);
  };
  if (chosen === "sequence") {
    launch(0, steps, before, after);
    return;
  }
  // A step reads all of the state before it, so consecutive steps write to different ones.
  const spare = (): State => ({ h: empty(device, after.h.shape), c: after.c && empty(device, after.c.shape) });
  const spares = Array.from({ length: Math.min(2, steps - 1) }, spare);
  let from = before;
  for (let step = 0; step < steps; step++) {
    const to = step === steps - 1 ? after : (spares[step % 2] as State);
    launch(step, step + 1, from, to);
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
export function runBackward({
  cell,
  sizes,
  layout,
  tape,
  weights,
  lengths,
  dy,
  dz,
  db,
  state,
  given,
  form,
}: BackwardRun): void {
  const { steps, width, directions } = sizes;
  const { device } = tape;
  const chosen = formOf(width, device.software, form);
  const tile = backwardTile(chosen, width, device.software, cell.gates);
  const groups = [Math.ceil(width / tile.UNITS), Math.ceil(sizes.batch / ENTRIES), directions] as const;
  const flags = { given: Number(given), ragged: Number(lengths !== null), upstream: Number(dy !== null) };
  const written = { dz, db: db ?? dz, dh: state.h, dc: state.c ?? state.h };
  const buffers = { tape, weights, lengths: lengths ?? weights, dy: dy ?? weights, ...written };
  // Four gates make every row whole vectors.
  const knobs = { ...tile, ...cell.knobs, ...(cell.gates === 4 ? {} : { ALIGNED: width % 4 === 0 }) };
  const launch = (first: number, last: number): void => {
    device.dispatch(cell.backward, "backward", buffers, { ...sizes, ...layout, ...flags, first, last }, groups, knobs);
  };
  // One step more than there are finishes the gradient of the initial state.
  if (chosen === "sequence") launch(0, steps + 1);
  else for (let step = 0; step <= steps; step++) launch(step, step + 1);
}
