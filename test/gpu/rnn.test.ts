import { beforeAll, describe, expect, test } from "vitest";
import { type CellName, GATES, type RefWeights, referenceLayer } from "../../src/check/references/recurrent.ts";
import type { Device } from "../../src/gpu/device.ts";
import { openDevice } from "../../src/gpu/open.ts";
import { concat } from "../../src/ops/concat.ts";
import { reshape } from "../../src/ops/reshape.ts";
import type { Form } from "../../src/ops/rnn/form.ts";
import { gruLayer } from "../../src/ops/rnn/gru.ts";
import { lstmLayer } from "../../src/ops/rnn/lstm.ts";
import { rnnLayer } from "../../src/ops/rnn/rnn.ts";
import type { RecurrentOptions, RecurrentResult, RecurrentWeights } from "../../src/ops/rnn/types.ts";
import { tensor } from "../../src/tensor/create.ts";
import type { Shape } from "../../src/tensor/shape.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { getGpu } from "../support/device.ts";
import { checkGradient } from "../support/gradcheck.ts";
import { numbers, type Ref, ref } from "../support/reference.ts";

let device: Device;
/** A device that is treated as a GPU, so that the kernels' variants for one are run. */
let hardware: Device;
beforeAll(async () => {
  device = await openDevice({ gpu: await getGpu() });
  hardware = await openDevice({ gpu: await getGpu() });
  Object.assign(hardware, { software: false });
});

/** Milliseconds; an emulated GPU compiles a GPU's variants of matrix products slowly. */
const COMPILING = 240_000;

const CELLS = ["rnn_tanh", "rnn_relu", "gru", "lstm"] as const;
const T = 4;
/** Two workgroups of four entries, the second not full. */
const B = 5;
const I = 3;
/** Two entries are empty in part, one wholly. */
const LENGTHS = [4, 0, 2, 3, 1];

function layerOf(
  cell: CellName,
  x: Tensor,
  directions: readonly RecurrentWeights[],
  h: Tensor,
  c: Tensor,
  options: RecurrentOptions,
): RecurrentResult {
  if (cell === "lstm") return lstmLayer(x, directions, { h, c }, options);
  if (cell === "gru") return gruLayer(x, directions, h, options);
  return rnnLayer(x, directions, h, { ...options, nonlinearity: cell === "rnn_relu" ? "relu" : "tanh" });
}

/** Inputs in the order x, h0, c0, then four parameters a direction. */
function inputsOf(cell: CellName, H: number, D: number, batchFirst: boolean): Ref[] {
  const bound = 1 / Math.sqrt(H);
  const rows = GATES[cell] * H;
  const parameters = Array.from({ length: D }, (_, d) =>
    [[rows, I], [rows, H], [rows], [rows]].map((shape, i) => numbers(shape, -bound, bound, 10 * d + i + 4)),
  );
  const state = [D, B, H];
  return [
    numbers(batchFirst ? [B, T, I] : [T, B, I], -1, 1, 1),
    numbers(state, -1, 1, 2),
    numbers(state, -1, 1, 3),
    ...parameters.flat(),
  ];
}

const tensorOf = (shape: Shape, data: ArrayLike<number>): Tensor => tensor(device, Float32Array.from(data), shape);

const byDirection = <X>(parameters: readonly X[]) =>
  Array.from({ length: parameters.length / 4 }, (_, d) => {
    const [weightIh, weightHh, biasIh, biasHh] = parameters.slice(4 * d, 4 * d + 4) as [X, X, X, X];
    return { weightIh, weightHh, biasIh, biasHh };
  });

/** All outputs of a layer in one row, so that each has an upstream gradient. */
async function checkLayer(
  cell: CellName,
  H: number,
  D: number,
  form: Form,
  batchFirst: boolean,
  lengths?: readonly number[],
  on = device,
): Promise<void> {
  const options = { form, batchFirst, lengths };
  await checkGradient(
    on,
    (x, h0, c0, ...parameters) => {
      const { y, h, c } = layerOf(cell, x, byDirection<Tensor>(parameters), h0, c0, options);
      return concat([y, h, ...(c ? [c] : [])].map((part) => reshape(part, [-1])));
    },
    (x, h0, c0, ...parameters) => {
      const directions: RefWeights[] = byDirection<Ref>(parameters);
      const { y, h, c } = referenceLayer({ cell, x, directions, h0, c0, batchFirst, ...(lengths && { lengths }) });
      const parts = [...y.data, ...h.data, ...(cell === "lstm" ? c.data : [])];
      return ref([parts.length], parts);
    },
    inputsOf(cell, H, D, batchFirst),
    { what: `${cell} H ${H} ${form}`, samples: 5, atol: 2e-5, rtol: 1e-4, constant: cell === "lstm" ? [] : [2] },
  );
}

describe.each(CELLS)("%s", (cell) => {
  test.each([1, 2, 3, 7, 17, 33, 65, 127])("all steps in one launch, %i units", (H) =>
    checkLayer(cell, H, 1, "sequence", false),
  );
  test.each([1, 3, 33, 65, 127, 257])("a launch a step, %i units", (H) => checkLayer(cell, H, 1, "step", true));

  describe.each(["sequence", "step"] as const)("%s", (form) => {
    test.each([true, false])("both directions and lengths, batch first %s", (batchFirst) =>
      checkLayer(cell, 17, 2, form, batchFirst, LENGTHS),
    );
    test("as on a GPU", () => checkLayer(cell, 21, 2, form, false, LENGTHS, hardware), COMPILING);
  });
});

test("the two forms agree, and each repeats bit by bit", async () => {
  const [x, h, c, ...parameters] = inputsOf("lstm", 40, 1, false).map(({ shape, data }) => tensorOf(shape, data)) as [
    Tensor,
    Tensor,
    Tensor,
    ...Tensor[],
  ];
  const run = async (form: Form) => [...(await lstmLayer(x, byDirection(parameters), { h, c }, { form }).y.data())];
  const sequence = await run("sequence");
  const stepwise = await run("step");
  expect(await run("sequence")).toEqual(sequence);
  expect(await run("step")).toEqual(stepwise);
  expect(Math.max(...sequence.map((value, i) => Math.abs(value - (stepwise[i] as number))))).toBeLessThan(1e-6);
});
