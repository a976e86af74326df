import { type Grad, record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import type { Device } from "../../gpu/device.ts";
import { empty, fill, zeros } from "../../tensor/create.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { columnSums } from "../columns.ts";
import { product } from "../product.ts";
import type { Cell } from "./cell.ts";
import { checkLayer, lengthsOf } from "./check.ts";
import { region, tapeLayout, windowOf } from "./layout.ts";
import { openingGradient, runOpening } from "./opening.ts";
import { packBackward, packForward } from "./pack.ts";
import { runBackward, runForward, type State } from "./run.ts";
import type { Initial, RecurrentOptions, RecurrentResult, RecurrentWeights } from "./types.ts";

/** Positions in the inputs of a layer's graph node; then come the parameters, four a direction. */
const INPUT = { x: 0, h: 1, c: 2, start: 3, weights: 4 } as const;

/**
 * One recurrent layer in all its directions as one differentiable operation: the input projections of all steps
 * in one matrix product, then the recurrence. Backward runs the recurrence the other way, and weight gradients
 * are matrix products over all steps.
 */
export function recurrentLayer(
  cell: Cell,
  x: Tensor,
  directions: readonly RecurrentWeights[],
  initial: Initial,
  options: RecurrentOptions = {},
): RecurrentResult {
  const sizes = checkLayer(cell, x, directions, initial, options);
  const { form } = options;
  const { device } = x;
  const { rows, batch, input, width } = sizes;
  const columns = cell.gates * width;
  const lengths = lengthsOf(cell, x, options.lengths, sizes);
  const parameters = directions.flatMap(({ weightIh, weightHh, biasIh, biasHh }) => [weightIh, weightHh, biasIh, biasHh]);
  const inputs = [x, initial.h, initial.c, initial.start, ...parameters];
  const recorded = gradEnabled() && inputs.some((tensor) => tensor?.requiresGrad);

  const layout = tapeLayout(cell, sizes, recorded);
  const tape = region(device, layout.size);
  directions.forEach(({ weightIh, biasIh }, d) => {
    const out = windowOf(tape, d * layout.gates, [rows, columns]);
    product(device, { a: x, b: weightIh, bias: biasIh ?? null, out, M: rows, N: columns, K: input, transposeB: true });
    out.dispose();
  });
  if (initial.start) runOpening({ sizes, layout, columns, lengths }, initial.start, tape);

  const shape = [directions.length, batch, width];
  const y = empty(device, [...x.shape.slice(0, 2), directions.length * width]);
  const after = { h: empty(device, shape), c: cell.memory ? empty(device, shape) : null };
  const weights = packForward(cell, directions);
  const { before, made } = stateBefore(device, cell, initial, shape);
  runForward({ cell, sizes, layout, tape, weights, lengths: lengths.tensor, y, before, after, recorded, form });
  weights.dispose();
  made?.dispose();

  // An input that is left out is stood for by one that wants no gradient.
  const stands = inputs.map((tensor) => tensor ?? tape);
  const saved = [x, tape, lengths.tensor ?? tape, ...directions.flatMap((d) => [d.weightIh, d.weightHh])];
  const outputs = after.c ? [y, after.h, after.c] : [y, after.h];
  record(cell.name, outputs, stands, saved, ([dy = null, dh = null, dc = null], sink, [x, tape, lengthsOrTape, ...matrices]) => {
    const ends = lengths.tensor ? (lengthsOrTape as Tensor) : null;
    const dz = region(device, directions.length * layout.gates);
    const db = cell.splits ? region(device, directions.length * layout.gates) : dz;
    const state = gradientOfState(device, cell, shape, dh, dc);
    const packed = packBackward(cell, directions.map((_, d) => matrices[2 * d + 1] as Tensor));
    const run = { cell, sizes, layout, tape: tape as Tensor, weights: packed, lengths: ends, form };
    runBackward({ ...run, dy, dz, db: cell.splits ? db : null, state, given: Boolean(dh ?? dc) });

    /** Lets `write` put a gradient where it belongs, and gives what remains to be handed on. */
    const into = (i: number, shape: Shape, write: (out: Tensor, accumulate: boolean) => void): Grad => {
      if (!sink.needs(i)) return null;
      const slot = sink.into(i);
      const out = slot?.grad ?? empty(device, shape);
      write(out, slot?.accumulate ?? false);
      return slot ? null : out;
    };
    const dx = sink.needs(INPUT.x) ? empty(device, (x as Tensor).shape) : null;
    const gradients = directions.flatMap(({ biasIh, biasHh }, d): Grad[] => {
      const dInput = windowOf(dz, d * layout.gates, [rows, columns]);
      const dHidden = windowOf(db, d * layout.gates, [rows, columns]);
      const hidden = windowOf(tape as Tensor, layout.hidden + d * layout.stride, [rows, width]);
      if (dx) product(device, { a: dInput, b: matrices[2 * d] as Tensor, out: dx, M: rows, N: input, K: columns, accumulate: d > 0 });
      const at = INPUT.weights + 4 * d;
      const sums = { M: columns, K: rows, transposeA: true };
      return [
        into(at, [columns, input], (out, accumulate) => product(device, { a: dInput, b: x as Tensor, out, N: input, accumulate, ...sums })),
        into(at + 1, [columns, width], (out, accumulate) => product(device, { a: dHidden, b: hidden, out, N: width, accumulate, ...sums })),
        biasIh ? into(at + 2, [columns], (out, accumulate) => columnSums(dInput, out, accumulate)) : null,
        biasHh ? into(at + 3, [columns], (out, accumulate) => columnSums(dHidden, out, accumulate)) : null,
      ];
    });
    const dStart = sink.needs(INPUT.start) ? openingGradient({ sizes, layout, columns, lengths: { tensor: ends } }, dz) : null;
    return [dx, sink.needs(INPUT.h) ? state.h : null, sink.needs(INPUT.c) ? state.c : null, dStart, ...gradients];
  });
  tape.dispose();
  lengths.made?.dispose();
  return { y, ...after };
}

/** The state that the kernels start from; if only one half is given, the other is made of zeros. */
function stateBefore(device: Device, cell: Cell, { h, c }: Initial, shape: Shape): { before: State | null; made: Tensor | null } {
  if (!h && !c) return { before: null, made: null };
  const made = h && (c || !cell.memory) ? null : zeros(device, shape);
  return { before: { h: h ?? (made as Tensor), c: cell.memory ? (c ?? made) : null }, made };
}

/** Copies of the gradients of the last state, which backward turns into those of the first. */
function gradientOfState(device: Device, cell: Cell, shape: Shape, dh: Grad, dc: Grad): State {
  const copy = (gradient: Grad): Tensor => {
    const target = empty(device, shape);
    if (gradient) device.copy(gradient.storage, target.storage, target.bytes);
    else if (dh ?? dc) fill(target, 0);
    return target;
  };
  return { h: copy(dh), c: cell.memory ? copy(dc) : null };
}
