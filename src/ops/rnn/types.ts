import type { Tensor } from "../../tensor/tensor.ts";
import type { Form } from "./form.ts";

/** Parameters of one direction, as PyTorch stores them: G blocks of H rows, one a gate. */
export interface RecurrentWeights {
  /** [G H, I] */
  readonly weightIh: Tensor;
  /** [G H, H] */
  readonly weightHh: Tensor;
  /** [G H] */
  readonly biasIh?: Tensor | null;
  /** [G H] */
  readonly biasHh?: Tensor | null;
}

export interface RecurrentOptions {
  /** x and y are [B, T, ..] instead of [T, B, ..]; states are [D, B, H] in both cases. */
  readonly batchFirst?: boolean | undefined;
  /**
   * Valid steps of each batch entry, 0 to T (i32 on the device). Beyond, outputs are 0 and the state stays; a reversed
   * direction begins at the last valid step.
   */
  readonly lengths?: Tensor | readonly number[] | null | undefined;
  /** Lets a lone direction run from the last step to the first. Of two directions the second always does. */
  readonly reverse?: boolean | undefined;
  /** One launch for all steps or one a step; default: the faster by size. */
  readonly form?: Form | undefined;
}

export interface RecurrentResult {
  /** Hidden states of all steps: [T, B, D H] or [B, T, D H]. */
  readonly y: Tensor<"f32">;
  /** Hidden state after the last step of each direction: [D, B, H]. */
  readonly h: Tensor<"f32">;
  /** Cell after the last step, [D, B, H]; null but for an LSTM. */
  readonly c: Tensor<"f32"> | null;
}

/** Where a recurrence begins; null for zeros. */
export interface Initial {
  /** [D, B, H] */
  readonly h: Tensor | null;
  /** [D, B, H] */
  readonly c: Tensor | null;
  /** [D, B, G H], added to the gates' sums of the first step. */
  readonly start: Tensor | null;
}

/** Parameters of one direction; rows in blocks i, f, g, o. */
export interface LstmWeights extends RecurrentWeights {
  /** [P, H]; projects the hidden state to P values. weightHh is then [4 H, P]. */
  readonly weightHr?: Tensor | null;
}

/** State of an LSTM layer. */
export interface LstmState {
  /** [D, B, H], or [D, B, P] with projection. */
  readonly h: Tensor;
  /** [D, B, H] */
  readonly c: Tensor;
}

export interface LstmResult extends RecurrentResult {
  readonly c: Tensor<"f32">;
}
