import { record } from "../../autograd/graph.ts";
import { gradEnabled } from "../../autograd/mode.ts";
import type { Device } from "../../gpu/device.ts";
import { empty, zeros } from "../../tensor/create.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { product } from "../product.ts";
import type { Cell } from "./cell.ts";
import { checkLayer, lengthsOf } from "./check.ts";
import { layerGradient } from "./gradient.ts";
import { region, tapeLayout, windowOf } from "./layout.ts";
import { runOpening } from "./opening.ts";
import { packForward } from "./pack.ts";
import { runForward, type State } from "./run.ts";
import type { Initial, RecurrentOptions, RecurrentResult, RecurrentWeights } from "./types.ts";

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
  const parameters = directions.flatMap((d) => [d.weightIh, d.weightHh, d.biasIh, d.biasHh]);
  const inputs = [x, initial.h, initial.c, initial.start, ...parameters];
  const recorded = gradEnabled() && inputs.some((tensor) => tensor?.requiresGrad);

  const layout = tapeLayout(cell, sizes, recorded);
  const tape = region(device, layout.size);
  directions.forEach(({ weightIh, biasIh }, d) => {
    const out = windowOf(tape, d * layout.gates, [rows, columns]);
    product(device, { a: x, b: weightIh, bias: biasIh ?? null, out, M: rows, N: columns, K: input, transposeB: true });
    out.dispose();
  });
  if (initial.start) runOpening({ sizes, layout, columns, lengths: lengths.tensor }, initial.start, tape);

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
  const ragged = lengths.tensor !== null;
  record(cell.name, outputs, stands, saved, layerGradient({ cell, sizes, layout, ragged, form }));
  tape.dispose();
  lengths.made?.dispose();
  return { y, ...after };
}

/** The state that the kernels start from; if only one half is given, the other is made of zeros. */
function stateBefore(
  device: Device,
  cell: Cell,
  { h, c }: Initial,
  shape: Shape,
): { before: State | null; made: Tensor | null } {
  if (!h && !c) return { before: null, made: null };
  const made = h && (c || !cell.memory) ? null : zeros(device, shape);
  return { before: { h: h ?? (made as Tensor), c: cell.memory ? (c ?? made) : null }, made };
}
