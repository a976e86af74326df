import type { Backward, Grad, GradSink } from "../../autograd/graph.ts";
import type { Device } from "../../gpu/device.ts";
import { empty, fill } from "../../tensor/create.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { columnSums } from "../columns.ts";
import { product } from "../product.ts";
import type { Cell } from "./cell.ts";
import type { Form } from "./form.ts";
import { region, type Sizes, type TapeLayout, windowOf } from "./layout.ts";
import { openingGradient } from "./opening.ts";
import { packBackward } from "./pack.ts";
import { runBackward, type State } from "./run.ts";

/** What backward needs to know of a layer's run beside the tensors. */
export interface LayerRun {
  readonly cell: Cell;
  readonly sizes: Sizes;
  readonly layout: TapeLayout;
  /** Whether entries had lengths. */
  readonly ragged: boolean;
  readonly form: Form | undefined;
}

/** Positions in the inputs of a layer's graph node. Then come W_ih, W_hh, b_ih and b_hh of each direction. */
const INPUT = { x: 0, h: 1, c: 2, start: 3, parameters: 4 } as const;
const PARAMETERS = 4;

/**
 * Backward of `recurrentLayer`, for a node that saved x, the tape, the lengths (or any tensor), and W_ih and W_hh of each
 * direction. The recurrence gives the gradients of the gates' sums; all else is matrix products over all steps.
 */
export function layerGradient({ cell, sizes, layout, ragged, form }: LayerRun): Backward<readonly Tensor[]> {
  return ([dy = null, dh = null, dc = null], sink, saved) => {
    const [x, tape, lengths, ...matrices] = saved as [Tensor, Tensor, Tensor, ...Tensor[]];
    const { device } = x;
    const { rows, input, width, directions } = sizes;
    const columns = cell.gates * width;
    const ends = ragged ? lengths : null;
    const dz = region(device, directions * layout.gates);
    const db = cell.splits ? region(device, directions * layout.gates) : null;
    const state = gradientOfState(device, cell, sizes, dh, dc);
    const weights = packBackward(
      cell,
      matrices.filter((_, i) => i % 2 === 1),
    );
    const given = Boolean(dh ?? dc);
    runBackward({ cell, sizes, layout, tape, weights, lengths: ends, form, dy, dz, db, state, given });

    const dx = sink.needs(INPUT.x) ? empty(device, x.shape) : null;
    const gradients: Grad[] = [];
    for (let d = 0; d < directions; d++) {
      const dInput = windowOf(dz, d * layout.gates, [rows, columns]);
      const dHidden = windowOf(db ?? dz, d * layout.gates, [rows, columns]);
      const hidden = windowOf(tape, layout.hidden + d * layout.stride, [rows, width]);
      const weightIh = matrices[2 * d] as Tensor;
      if (dx) product(device, { a: dInput, b: weightIh, out: dx, M: rows, N: input, K: columns, accumulate: d > 0 });
      const at = INPUT.parameters + PARAMETERS * d;
      const sums = { M: columns, K: rows, transposeA: true };
      gradients.push(
        put(device, sink, at, [columns, input], (out, accumulate) =>
          product(device, { a: dInput, b: x, out, N: input, accumulate, ...sums }),
        ),
        put(device, sink, at + 1, [columns, width], (out, accumulate) =>
          product(device, { a: dHidden, b: hidden, out, N: width, accumulate, ...sums }),
        ),
        put(device, sink, at + 2, [columns], (out, accumulate) => columnSums(dInput, out, accumulate)),
        put(device, sink, at + 3, [columns], (out, accumulate) => columnSums(dHidden, out, accumulate)),
      );
    }
    const opening = { sizes, layout, columns, lengths: ends };
    const dStart = sink.needs(INPUT.start) ? openingGradient(opening, dz) : null;
    return [dx, sink.needs(INPUT.h) ? state.h : null, sink.needs(INPUT.c) ? state.c : null, dStart, ...gradients];
  };
}

/** Lets `write` put a parameter's gradient where it belongs; returns it if it is still to be handed on. */
function put(
  device: Device,
  sink: GradSink,
  i: number,
  shape: Shape,
  write: (out: Tensor, accumulate: boolean) => void,
): Grad {
  if (!sink.needs(i)) return null;
  const slot = sink.into(i);
  const out = slot?.grad ?? empty(device, shape);
  write(out, slot?.accumulate ?? false);
  return slot ? null : out;
}

/** Copies of the gradients of the last state, which backward turns into those of the first. */
function gradientOfState(device: Device, cell: Cell, { directions, batch, width }: Sizes, dh: Grad, dc: Grad): State {
  const copy = (gradient: Grad): Tensor => {
    const target = empty(device, [directions, batch, width]);
    if (gradient) device.copy(gradient.storage, target.storage, target.bytes);
    else if (dh ?? dc) fill(target, 0);
    return target;
  };
  return { h: copy(dh), c: cell.memory ? copy(dc) : null };
}
