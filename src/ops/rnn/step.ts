import gruKernel from "../../../kernels/rnn/gru_cell.wgsl";
import lstmKernel from "../../../kernels/rnn/lstm_cell.wgsl";
import rnnKernel from "../../../kernels/rnn/rnn_cell.wgsl";
import { ShapeError } from "../../gpu/errors.ts";
import { empty } from "../../tensor/create.ts";
import { sameShape, show } from "../../tensor/shape.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { checkFloats, checkWhole } from "../check.ts";
import { type Cell, gruCell, lstmCell, rnnCells } from "./cell.ts";
import { cellTile } from "./form.ts";
import { byFour, type HiddenWeights, packForward, packHalves } from "./pack.ts";

const cells = {
  rnn_tanh: { cell: rnnCells.tanh, kernel: rnnKernel, knobs: {}, halves: { HALF: true } },
  rnn_relu: { cell: rnnCells.relu, kernel: rnnKernel, knobs: { RELU: true }, halves: { HALF: true } },
  gru: { cell: gruCell, kernel: gruKernel, knobs: {}, halves: { word_w: "vec2u", WORDS_W: 2 } },
  lstm: { cell: lstmCell, kernel: lstmKernel, knobs: {}, halves: { word_w: "vec2u", WORDS_W: 2 } },
} as const;

export type CellKind = keyof typeof cells;

/** State of one direction in all layers, [L, B, H] each; c null but for an LSTM. */
export interface StepState {
  readonly h: Tensor;
  readonly c: Tensor | null;
}

export interface Step {
  /**
   * x W_ih^T + b_ih: [B, G H]; or, with `tokens`, a table [V, G H] with a row a token, as embedding W_ih^T + b_ih,
   * made once for many steps.
   */
  readonly sums: Tensor;
  /** Ids [B] that select rows of the table; read on the device. */
  readonly tokens?: Tensor | null;
  /** From `packStep`. */
  readonly weights: Tensor;
  readonly state: StepState;
  /** Where the layer's next state goes; other memory than `state`. */
  readonly next: StepState;
  /** Which layer of the states this is. */
  readonly layer: number;
}

/** Hidden weights of one layer and direction as `recurrentStep` reads them; u32 where they are stored as halves, and stay so. */
export function packStep(kind: CellKind, weights: HiddenWeights): Tensor<"f32" | "u32"> {
  const { cell } = cells[kind];
  return weights.weightHh.half ? packHalves(cell, weights) : packForward(cell, [weights]);
}

/**
 * One step of one recurrent layer for generation, in one launch and without a gradient.
 * @returns the hidden state, [B, H]
 * @throws ShapeError naming the tensor that does not fit
 */
export function recurrentStep(
  kind: CellKind,
  { sums, tokens = null, weights, state, next, layer }: Step,
): Tensor<"f32"> {
  const { cell, kernel, knobs, halves } = cells[kind];
  const { device } = state.h;
  const [layers = 0, batch = 0, width = 0] = state.h.shape;
  checkStep(cell, sums, tokens, state, next, layer);
  const y = empty(device, [batch, width]);
  const buffers = {
    table: sums,
    tokens: tokens ?? sums,
    weights,
    h0: state.h,
    c0: state.c ?? state.h,
    hn: next.h,
    cn: next.c ?? next.h,
    y,
  };
  const params = { width, inner: byFour(width), slot: layer * batch * width, lookup: Number(tokens !== null) };
  const tile = cellTile(device.software);
  if (layers > 0)
    device.dispatch(kernel, "forward", buffers, params, [Math.ceil(width / tile.UNITS), batch], {
      ...tile,
      ...knobs,
      ...(weights.dtype === "u32" && halves),
      ALIGNED: width % 4 === 0,
    });
  return y;
}

function checkStep(
  { name, gates, memory }: Cell,
  sums: Tensor,
  tokens: Tensor | null,
  state: StepState,
  next: StepState,
  layer: number,
): void {
  const [layers = 0, batch = 0, width = 0] = state.h.shape;
  checkFloats(name, sums, state.h, next.h);
  if (tokens) checkWhole(name, tokens);
  if (state.h.shape.length !== 3 || layer < 0 || layer >= layers) {
    throw new ShapeError(
      `${name}: the state is ${show(state.h.shape)} and the layer ${layer}; the state must be [layers, B, H]`,
    );
  }
  const states = memory ? [state.c, next.h, next.c] : [next.h];
  for (const other of states) {
    if (!other || !sameShape(other.shape, state.h.shape)) {
      throw new ShapeError(
        `${name}: a part of the state is ${other ? show(other.shape) : "missing"} beside h ${show(state.h.shape)}; all parts of a state are alike`,
      );
    }
  }
  if (tokens && tokens.size !== batch)
    throw new ShapeError(`${name}: there are ${tokens.size} tokens for a state of ${batch} texts; give one for each`);
  const columns = gates * width;
  if (sums.shape.length !== 2 || sums.shape[1] !== columns || (!tokens && sums.shape[0] !== batch)) {
    throw new ShapeError(
      `${name}: the input sums are ${show(sums.shape)}; they must be [${tokens ? "V" : batch}, ${columns}], x W_ih^T + b_ih`,
    );
  }
}
