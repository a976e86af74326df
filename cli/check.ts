/** A few kernels against float64 on the host: whether this device and driver can be trusted. */
import {
  crossEntropy,
  type Device,
  keep,
  layerNorm,
  matmul,
  Random,
  scope,
  softmax,
  type Tensor,
  tensor,
} from "ostinato";
import { LSTM, type StateDict } from "ostinato/nn";

export interface CheckResult {
  readonly name: string;
  /** Largest difference from the reference, as a share of its largest value. */
  readonly error: number;
  readonly passed: boolean;
}

/** Rounding in f32 over the sizes used here stays below a tenth of this. */
const TOLERANCE = 1e-4;

/** An odd size on purpose: past one workgroup, and no multiple of a tile. */
const [ROWS, INNER, COLUMNS] = [67, 129, 65];

interface Check {
  readonly name: string;
  run(device: Device): { readonly got: Tensor; readonly want: readonly number[] };
}

const random = new Random(1);
const values = (length: number) => Float32Array.from({ length }, () => 2 * random.uniform() - 1);
const rowsOf = (data: ArrayLike<number>, width: number) =>
  Array.from({ length: data.length / width }, (_, row) =>
    Array.from({ length: width }, (_, i) => data[row * width + i] as number),
  );
const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0);

function softmaxOf(row: readonly number[]): number[] {
  const top = Math.max(...row);
  const powers = row.map((value) => Math.exp(value - top));
  return powers.map((power) => power / sum(powers));
}

const checks: readonly Check[] = [
  {
    name: "matmul",
    run(device) {
      const [a, b] = [values(ROWS * INNER), values(INNER * COLUMNS)];
      const want = rowsOf(a, INNER).flatMap((row) =>
        Array.from({ length: COLUMNS }, (_, column) =>
          sum(row.map((value, i) => value * (b[i * COLUMNS + column] as number))),
        ),
      );
      return { got: matmul(tensor(device, a, [ROWS, INNER]), tensor(device, b, [INNER, COLUMNS])), want };
    },
  },
  {
    name: "softmax",
    run(device) {
      const x = values(ROWS * COLUMNS);
      return {
        got: softmax(tensor(device, x, [ROWS, COLUMNS])),
        want: rowsOf(x, COLUMNS).flatMap(softmaxOf),
      };
    },
  },
  {
    name: "layer norm",
    run(device) {
      const x = values(ROWS * COLUMNS);
      const want = rowsOf(x, COLUMNS).flatMap((row) => {
        const mean = sum(row) / COLUMNS;
        const variance = sum(row.map((value) => (value - mean) ** 2)) / COLUMNS;
        return row.map((value) => (value - mean) / Math.sqrt(variance + 1e-5));
      });
      return { got: layerNorm(tensor(device, x, [ROWS, COLUMNS])), want };
    },
  },
  {
    name: "cross-entropy",
    run(device) {
      const x = values(ROWS * COLUMNS);
      const targets = Int32Array.from({ length: ROWS }, (_, row) => (row * 7) % COLUMNS);
      const losses = rowsOf(x, COLUMNS).map((row, i) => -Math.log(softmaxOf(row)[targets[i] as number] as number));
      const loss = crossEntropy(tensor(device, x, [ROWS, COLUMNS]), tensor(device, targets, [ROWS]));
      return { got: loss, want: [sum(losses) / ROWS] };
    },
  },
  {
    name: "LSTM",
    run(device) {
      const [inputs, hidden] = [5, 33];
      const lstm = new LSTM(device, { inputSize: inputs, hiddenSize: hidden });
      const gates = 4 * hidden;
      const shapes = { weight_ih: [gates, inputs], weight_hh: [gates, hidden], bias_ih: [gates], bias_hh: [gates] };
      const weights = new Map(
        Object.entries(shapes).map(([name, shape]) => [
          `${name}_l0`,
          { shape, values: values(shape.reduce((size, side) => size * side)) },
        ]),
      );
      lstm.loadStateDict(weights);
      const x = values(ROWS * inputs);
      const { output } = lstm.forward(tensor(device, x, [ROWS, 1, inputs]));
      return { got: output, want: lstmOf(rowsOf(x, inputs), weights, hidden) };
    },
  },
];

/** h after each step of one sequence (PyTorch's gate order: input, forget, cell, output). */
function lstmOf(steps: readonly number[][], weights: StateDict, hidden: number): number[] {
  const sigmoid = (value: number) => 1 / (1 + Math.exp(-value));
  const of = (name: string) => weights.get(`${name}_l0`)?.values as Float32Array;
  const [inputRows, hiddenRows] = [rowsOf(of("weight_ih"), steps[0]?.length ?? 0), rowsOf(of("weight_hh"), hidden)];
  let h = new Array<number>(hidden).fill(0);
  let c = h;
  return steps.flatMap((x) => {
    const gates = inputRows.map((row, gate) => {
      const fromHidden = hiddenRows[gate] as number[];
      const bias = (of("bias_ih")[gate] as number) + (of("bias_hh")[gate] as number);
      return bias + sum(row.map((w, i) => w * (x[i] as number))) + sum(fromHidden.map((w, i) => w * (h[i] as number)));
    });
    const gate = (index: number, unit: number) => gates[index * hidden + unit] as number;
    c = c.map((value, unit) => sigmoid(gate(1, unit)) * value + sigmoid(gate(0, unit)) * Math.tanh(gate(2, unit)));
    h = c.map((value, unit) => sigmoid(gate(3, unit)) * Math.tanh(value));
    return h;
  });
}

/** Runs every check, one after the other. */
export async function checkDevice(device: Device): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  for (const { name, run } of checks) {
    const { result, want } = scope(() => {
      const { got, want } = run(device);
      return { result: keep(got), want };
    });
    const got = await result.data();
    result.dispose();
    const scale = Math.max(...want.map(Math.abs));
    const worst = Math.max(...want.map((value, i) => Math.abs(value - (got[i] as number))));
    const error = got.length === want.length ? worst / scale : Number.NaN;
    results.push({ name, error, passed: error < TOLERANCE });
  }
  return results;
}
