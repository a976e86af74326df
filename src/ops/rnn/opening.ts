import openingKernel from "../../../kernels/rnn/opening.wgsl";
import { empty } from "../../tensor/create.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Sizes, TapeLayout } from "./layout.ts";

const BLOCK = 64;

interface Opening {
  readonly sizes: Sizes;
  readonly layout: TapeLayout;
  /** G H */
  readonly columns: number;
  readonly lengths: Tensor | null;
}

/** Adds `start` to the gates' sums of the first step of each sequence. */
export function runOpening({ sizes, layout, columns, lengths }: Opening, start: Tensor, z: Tensor): void {
  const params = { ...sizes, gates: layout.gates, columns, ragged: Number(lengths !== null) };
  const groups = [Math.ceil(columns / BLOCK), sizes.steps === 0 ? 0 : sizes.batch, sizes.directions] as const;
  start.device.dispatch(openingKernel, "forward", { start, lengths: lengths ?? start, z }, params, groups);
}

/** Gradient of `start`: dz of the first steps. */
export function openingGradient({ sizes, layout, columns, lengths }: Opening, dz: Tensor): Tensor<"f32"> {
  const dstart = empty(dz.device, [sizes.directions, sizes.batch, columns]);
  const params = { ...sizes, gates: layout.gates, columns, ragged: Number(lengths !== null) };
  const groups = [Math.ceil(columns / BLOCK), sizes.batch, sizes.directions] as const;
  dz.device.dispatch(openingKernel, "backward", { dz, lengths: lengths ?? dz, dstart }, params, groups);
  return dstart;
}
