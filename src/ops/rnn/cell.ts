import gruKernel from "../../../kernels/rnn/gru.wgsl";
import gruBackwardKernel from "../../../kernels/rnn/gru_backward.wgsl";
import lstmKernel from "../../../kernels/rnn/lstm.wgsl";
import lstmBackwardKernel from "../../../kernels/rnn/lstm_backward.wgsl";
import rnnKernel from "../../../kernels/rnn/rnn.wgsl";
import rnnBackwardKernel from "../../../kernels/rnn/rnn_backward.wgsl";

/** What tells the recurrent layers apart. */
export interface Cell {
  /** Named in messages. */
  readonly name: string;
  /** Blocks of H rows in the weights. */
  readonly gates: number;
  /** Values a unit in packed weights (kernels/rnn/pack.wgsl). */
  readonly word: 1 | 4;
  /** Whether the state has a cell beside the hidden state. */
  readonly memory: boolean;
  /** Whether forward keeps another value a unit beside its gates and h': c' or, in a GRU, h' W_hn^T + b_hn. */
  readonly extra: boolean;
  /** Whether the gradients of the input and of the hidden projection differ. */
  readonly splits: boolean;
  readonly forward: typeof lstmKernel | typeof gruKernel | typeof rnnKernel;
  readonly backward: typeof lstmBackwardKernel | typeof gruBackwardKernel | typeof rnnBackwardKernel;
  readonly knobs: { readonly RELU?: boolean };
}

export const lstmCell: Cell = {
  name: "lstm",
  gates: 4,
  word: 4,
  memory: true,
  extra: true,
  splits: false,
  forward: lstmKernel,
  backward: lstmBackwardKernel,
  knobs: {},
};

export const gruCell: Cell = {
  name: "gru",
  gates: 3,
  word: 4,
  memory: false,
  extra: true,
  splits: true,
  forward: gruKernel,
  backward: gruBackwardKernel,
  knobs: {},
};

const rnnCell: Cell = {
  name: "rnn",
  gates: 1,
  word: 1,
  memory: false,
  extra: false,
  splits: false,
  forward: rnnKernel,
  backward: rnnBackwardKernel,
  knobs: {},
};

export const rnnCells = {
  tanh: rnnCell,
  relu: { ...rnnCell, knobs: { RELU: true } },
} as const satisfies Record<string, Cell>;
