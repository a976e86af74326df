/** The recurrences of RWKV-4 to 7 with their gradients. */
import { wkv4 } from "../../src/ops/wkv/wkv4.ts";
import { wkv5, wkv6 } from "../../src/ops/wkv/wkv6.ts";
import { wkv7 } from "../../src/ops/wkv/wkv7.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { Line } from "../line.ts";
import { input, withGradients, words } from "./inputs.ts";

interface Sizes {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly N: number;
}

type Operand = "r" | "w" | "k" | "v" | "a" | "b" | "u";
type Row = Readonly<Record<Operand, Float32Array>>;
type Gradients = Readonly<Record<Operand, Float64Array>>;

interface Version {
  readonly name: string;
  /** Operands in the order of `op`; those that are not fixed have a row for every step. */
  readonly operands: readonly Operand[];
  readonly fixed: readonly Operand[];
  readonly flops: number;
  readonly op: (...x: Tensor[]) => { y: Tensor; state: Tensor };
  /** One step of a head: the next state [N, N] from the one before, and y. */
  readonly step: (at: Row, before: Float64Array, after: Float64Array, y: Float64Array) => void;
  /** From dy and `up`, the gradient of the next state, those of the operands; `up` becomes that of the state before. */
  readonly back: (
    at: Row,
    before: Float64Array,
    after: Float64Array,
    dy: Float32Array,
    up: Float64Array,
    d: Gradients,
  ) => void;
}

const decay = (w: number) => Math.exp(-Math.exp(w));
/** d decay(w) / dw */
const decaySlope = (w: number) => -Math.exp(w - Math.exp(w));

/** State by key (rows) and value: y = r (S + u k^T v), S = diag(d) S + k^T v. */
const fading: Pick<Version, "step" | "back"> = {
  step({ r, k, v, w, u }, before, after, y) {
    const N = y.length;
    for (let i = 0; i < N; i++)
      for (let j = 0; j < N; j++) {
        const gain = k[i]! * v[j]!;
        y[j]! += r[i]! * (before[i * N + j]! + u[i]! * gain);
        after[i * N + j] = decay(w[i]!) * before[i * N + j]! + gain;
      }
  },
  back({ r, k, v, w, u }, before, _after, dy, up, d) {
    const N = dy.length;
    for (let i = 0; i < N; i++)
      for (let j = 0; j < N; j++) {
        const [s, g] = [before[i * N + j]!, up[i * N + j]!];
        d.r[i]! += dy[j]! * (s + u[i]! * k[i]! * v[j]!);
        d.u[i]! += dy[j]! * r[i]! * k[i]! * v[j]!;
        d.k[i]! += v[j]! * (g + dy[j]! * r[i]! * u[i]!);
        d.v[j]! += k[i]! * (g + dy[j]! * r[i]! * u[i]!);
        d.w[i]! += g * s * decaySlope(w[i]!);
        up[i * N + j] = decay(w[i]!) * g + r[i]! * dy[j]!;
      }
  },
};

/** State by value (rows) and key: S = S (diag(d) + a b^T) + v k^T, y = S r. */
const delta: Pick<Version, "step" | "back"> = {
  step({ r, w, k, v, a, b }, before, after, y) {
    const N = y.length;
    for (let i = 0; i < N; i++) {
      let along = 0;
      for (let j = 0; j < N; j++) along += before[i * N + j]! * a[j]!;
      for (let j = 0; j < N; j++) {
        const value = before[i * N + j]! * decay(w[j]!) + along * b[j]! + v[i]! * k[j]!;
        after[i * N + j] = value;
        y[i]! += value * r[j]!;
      }
    }
  },
  back({ r, w, k, v, a, b }, before, after, dy, up, d) {
    const N = dy.length;
    for (let i = 0; i < N; i++) {
      let [along, back] = [0, 0];
      for (let j = 0; j < N; j++) {
        up[i * N + j]! += dy[i]! * r[j]!;
        d.r[j]! += dy[i]! * after[i * N + j]!;
        along += before[i * N + j]! * a[j]!;
        back += up[i * N + j]! * b[j]!;
      }
      for (let j = 0; j < N; j++) {
        const [s, g] = [before[i * N + j]!, up[i * N + j]!];
        d.v[i]! += g * k[j]!;
        d.k[j]! += g * v[i]!;
        d.w[j]! += g * s * decaySlope(w[j]!);
        d.b[j]! += g * along;
        d.a[j]! += s * back;
        up[i * N + j] = g * decay(w[j]!) + back * a[j]!;
      }
    }
  },
};

const versions: readonly Version[] = [
  {
    ...fading,
    ...{ name: "wkv5", operands: ["r", "k", "v", "w", "u"], fixed: ["w", "u"], flops: 7 },
    op: (...x) => wkv5(...(x as Parameters<typeof wkv5>)),
  },
  {
    ...fading,
    ...{ name: "wkv6", operands: ["r", "k", "v", "w", "u"], fixed: ["u"], flops: 7 },
    op: (...x) => wkv6(...(x as Parameters<typeof wkv6>)),
  },
  {
    ...delta,
    ...{ name: "wkv7", operands: ["r", "w", "k", "v", "a", "b"], fixed: [], flops: 10 },
    op: (...x) => wkv7(...(x as Parameters<typeof wkv7>)),
  },
];

/** y and the gradient of each operand, in float64. */
function reference({ operands, fixed, step, back }: Version, sizes: Sizes, inputs: readonly Float32Array[]) {
  const { B, T, H, N } = sizes;
  const dy = inputs[operands.length]!;
  const y = new Float64Array(B * T * H * N);
  const grads = operands.map((_, i) => new Float64Array(inputs[i]!.length));
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++) {
      const states = Array.from({ length: T + 1 }, () => new Float64Array(N * N));
      const rowOf = <A extends Float32Array | Float64Array>(values: readonly A[], t: number) =>
        Object.fromEntries(
          operands.map((name, i) => {
            const start = fixed.includes(name) ? h * N : ((b * T + t) * H + h) * N;
            return [name, values[i]!.subarray(start, start + N)];
          }),
        ) as unknown as Record<Operand, A>;
      const own = (t: number) => ((b * T + t) * H + h) * N;
      for (let t = 0; t < T; t++) step(rowOf(inputs, t), states[t]!, states[t + 1]!, y.subarray(own(t), own(t) + N));
      const up = new Float64Array(N * N);
      for (let t = T - 1; t >= 0; t--) {
        const upstream = dy.subarray(own(t), own(t) + N);
        back(rowOf(inputs, t), states[t]!, states[t + 1]!, upstream, up, rowOf(grads, t));
      }
    }
  return [y, ...grads];
}

function line(version: Version, sizes: Sizes, backward: boolean): Line {
  const { B, T, H, N } = sizes;
  const values = B * T * H * N;
  const { operands, fixed, flops } = version;
  const read = (operands.length - fixed.length) * values + fixed.length * H * N;
  return {
    name: `wkv/${version.name}${backward ? "-backward" : ""}/B${B}T${T}H${H}N${N}`,
    flops: (backward ? 3 : 1) * flops * values * N,
    bytes: words((backward ? 2 : 1) * (read + values), B * H * N * N),
    tolerance: 3e-4,
    prepare(device, random) {
      const all = [...operands, "dy"].map((name) => {
        const shape = fixed.includes(name as Operand) ? [H, N] : [B, T, H, N];
        const size = name === "a" || name === "b" ? 0.1 : 1;
        return name === "w" ? input(device, random, shape, -3, 0) : input(device, random, shape, -size, size);
      });
      const leaves = all.slice(0, -1).map(({ on }) => on);
      const op = () => {
        const { y, state } = version.op(...leaves);
        state.dispose();
        return y;
      };
      return {
        inputs: all.map(({ on }) => on),
        run: backward ? withGradients(leaves, op, all.at(-1)?.on) : () => [op()],
        expected: () =>
          reference(
            version,
            sizes,
            all.map(({ values }) => values),
          ).slice(0, backward ? undefined : 1),
      };
    },
  };
}

/** y_t = averages of v with weights e^k that fade by e^w a step, w = -exp(decay); the present one counts e^(u + k). */
function average(B: number, T: number, C: number, inputs: readonly Float32Array[]) {
  const [timeDecay, u, k, v, dy] = inputs as [...Float32Array[]];
  const [ddecay, du] = [new Float64Array(C), new Float64Array(C)];
  const [y, dk, dv] = [k, k, k].map((x) => new Float64Array(x!.length)) as [Float64Array, Float64Array, Float64Array];
  for (let b = 0; b < B; b++)
    for (let c = 0; c < C; c++) {
      const w = -Math.exp(timeDecay![c]!);
      const at = (t: number) => (b * T + t) * C + c;
      for (let t = 0; t < T; t++) {
        const weight = (s: number) => Math.exp(k![at(s)]! + (s === t ? u![c]! : (t - 1 - s) * w));
        let [above, below] = [0, 0];
        for (let s = 0; s <= t; s++) {
          above += weight(s) * v![at(s)]!;
          below += weight(s);
        }
        y[at(t)] = above / below;
        for (let s = 0; s <= t; s++) {
          const share = (dy![at(t)]! * weight(s)) / below;
          const slope = share * (v![at(s)]! - above / below);
          dv[at(s)]! += share;
          dk[at(s)]! += slope;
          if (s === t) du[c]! += slope;
          else ddecay[c]! += slope * (t - 1 - s) * w;
        }
      }
    }
  return [y, ddecay, du, dk, dv];
}

function line4(B: number, T: number, C: number, backward: boolean): Line {
  const values = B * T * C;
  return {
    name: `wkv/wkv4${backward ? "-backward" : ""}/B${B}T${T}C${C}`,
    flops: (backward ? 40 : 14) * values,
    bytes: words((backward ? 6 : 3) * values, (backward ? 4 : 2) * C, 3 * B * C),
    tolerance: 3e-4,
    prepare(device, random) {
      const all = [
        ...[input(device, random, [C], -3, 1), input(device, random, [C])],
        ...[0, 1, 2].map(() => input(device, random, [B, T, C])),
      ];
      const leaves = all.slice(0, 4).map(({ on }) => on);
      const op = () => {
        const { y, state } = wkv4(...(leaves as [Tensor, Tensor, Tensor, Tensor]));
        state.dispose();
        return y;
      };
      return {
        inputs: all.map(({ on }) => on),
        run: backward ? withGradients(leaves, op, all[4]?.on) : () => [op()],
        expected: () =>
          average(
            B,
            T,
            C,
            all.map(({ values }) => values),
          ).slice(0, backward ? undefined : 1),
      };
    },
  };
}

const sizes = { B: 2, T: 64, H: 4, N: 64 };
export const lines: readonly Line[] = [
  line4(2, 64, 256, false),
  line4(2, 64, 256, true),
  ...versions.flatMap((version) => [line(version, sizes, false), line(version, sizes, true)]),
];
