import { toHalf } from "../../ops/half.ts";
import { linear } from "../../ops/linear.ts";
import { reshape, unsqueeze } from "../../ops/reshape.ts";
import { lstmCell } from "../../ops/rnn/cell.ts";
import type { Form } from "../../ops/rnn/form.ts";
import { gruLayer } from "../../ops/rnn/gru.ts";
import { recurrentLayer } from "../../ops/rnn/layer.ts";
import { lstmLayer } from "../../ops/rnn/lstm.ts";
import { rnnLayer } from "../../ops/rnn/rnn.ts";
import { packStep, recurrentStep } from "../../ops/rnn/step.ts";
import { empty } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type Check, differentiated, forwardOnly, joined } from "../check.ts";
import { at, indexOf, numbers, type Ref, ref } from "../reference.ts";
import { type CellName, GATES, referenceLayer } from "../references/recurrent.ts";

const [T, B, I, H] = [6, 3, 5, 9];
type Cell = Exclude<CellName, "rnn_relu">;
const cells: readonly Cell[] = ["rnn_tanh", "gru", "lstm"];
const NAMES: Readonly<Record<Cell, string>> = { rnn_tanh: "RNN", gru: "GRU", lstm: "LSTM" };

/** x, W_ih, W_hh, b_ih, b_hh, h0 and, for an LSTM, c0. */
function inputsOf(cell: Cell, steps: number): Ref[] {
  const rows = GATES[cell] * H;
  const shapes = [[steps, B, I], [rows, I], [rows, H], [rows], [rows], [1, B, H], [1, B, H]];
  return shapes.slice(0, cell === "lstm" ? 7 : 6).map((shape, i) => numbers(shape, -1, 1, i + 1));
}

/** y and the last state, in one row. */
function reference(cell: Cell, inputs: readonly Ref[]): Ref {
  const [x, weightIh, weightHh, biasIh, biasHh, h0, c0] = inputs as [Ref, Ref, Ref, Ref, Ref, Ref, Ref?];
  const directions = [{ weightIh, weightHh, biasIh, biasHh }];
  const { y, h, c } = referenceLayer({ cell, x, directions, h0, c0: c0 ?? h0 });
  const all = [...y.data, ...h.data, ...(c0 ? c.data : [])];
  return ref([all.length], all);
}

function layer(cell: Cell, form: Form, inputs: readonly Tensor[]): Tensor<"f32"> {
  const [x, weightIh, weightHh, biasIh, biasHh, h0, c0] = inputs as [
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor,
    Tensor?,
  ];
  const weights = [{ weightIh, weightHh, biasIh, biasHh }];
  if (cell === "lstm" && c0) {
    const { y, h, c } = lstmLayer(x, weights, { h: h0, c: c0 }, { form });
    return joined(y, h, c);
  }
  const { y, h } = cell === "gru" ? gruLayer(x, weights, h0, { form }) : rnnLayer(x, weights, h0, { form });
  return joined(y, h);
}

const wholes = cells.flatMap((cell) =>
  (["sequence", "step"] as const).map((form) =>
    differentiated(
      `${NAMES[cell]}, ${form === "sequence" ? "a launch for all steps" : "a launch a step"}`,
      inputsOf(cell, T),
      () =>
        (...inputs) =>
          layer(cell, form, inputs),
      (...inputs) => reference(cell, inputs),
      { samples: 3 },
    ),
  ),
);

/** Numbers that halves hold exactly. */
const rounded = ({ shape, data }: Ref) => ref(shape, (i) => Math.round(256 * (data[i] as number)) / 256);

/** The step that generates: x goes through its weights outside. */
const step = (cell: Cell, half: boolean): Check =>
  forwardOnly(
    `${NAMES[cell]}, one step${half ? ", weights as halves" : ""}`,
    inputsOf(cell, 1).map((input, n) => (half && n === 2 ? rounded(input) : input)),
    (device) =>
      (...inputs) => {
        const [x, weightIh, weightHh, biasIh, biasHh, h, c = null] = inputs as [
          Tensor,
          Tensor,
          Tensor,
          Tensor,
          Tensor,
          Tensor,
          Tensor?,
        ];
        const next = { h: empty(device, [1, B, H]), c: c && empty(device, [1, B, H]) };
        const sums = reshape(linear(x, weightIh, biasIh), [B, -1]);
        const weights = packStep(cell, { weightHh: half ? toHalf(weightHh) : weightHh, biasHh });
        const y = recurrentStep(cell, { sums, weights, state: { h, c }, next, layer: 0 });
        return joined(unsqueeze(y, 0), next.h, next.c);
      },
    (...inputs) => reference(cell, inputs),
  );
const steps = [false, true].flatMap((half) => cells.map((cell) => step(cell, half)));

/** A term of the first step's sums is the column of a weight for an input that is 1 in that step of that text alone. */
const opening = differentiated(
  "LSTM, an opening term",
  [...inputsOf("lstm", T).slice(0, 5), numbers([1, B, 4 * H], -1, 1, 8)],
  () => (x, weightIh, weightHh, biasIh, biasHh, start) => {
    const directions = [{ weightIh: weightIh!, weightHh: weightHh!, biasIh: biasIh!, biasHh: biasHh! }];
    return recurrentLayer(lstmCell, x!, directions, { h: null, c: null, start: start! }).y;
  },
  (x, weightIh, weightHh, biasIh, biasHh, start) => {
    const wider = ref([T, B, I + B], (i) => {
      const [t, b, column] = indexOf(i, [T, B, I + B]) as [number, number, number];
      return column < I ? at(x!, [t, b, column]) : Number(t === 0 && column - I === b);
    });
    const weight = ref([4 * H, I + B], (i) => {
      const [row, column] = indexOf(i, [4 * H, I + B]) as [number, number];
      return column < I ? at(weightIh!, [row, column]) : at(start!, [0, column - I, row]);
    });
    const directions = [{ weightIh: weight, weightHh: weightHh!, biasIh: biasIh!, biasHh: biasHh! }];
    const zeros = ref([1, B, H], () => 0);
    return referenceLayer({ cell: "lstm", x: wider, directions, h0: zeros, c0: zeros }).y;
  },
  { samples: 3 },
);

export const recurrents: readonly Check[] = [...wholes, opening, ...steps];
