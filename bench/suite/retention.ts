/** Attention that fades, in chunks: retention, and the recurrence of Mamba-2. */
import { retention } from "../../src/ops/retention/retention.ts";
import { ssd } from "../../src/ops/scan/ssd.ts";
import type { Line } from "../line.ts";
import { type Input, input, withGradients, words } from "./inputs.ts";

interface Sizes {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  /** Channels of a key, and of a value. */
  readonly K: number;
  readonly V: number;
}

/**
 * y_n = sum over m <= n of e^(w_(m+1) + ... + w_n) (q_n . k_m) v_m and the gradients of q, k, v and w [B, T, H] for dy,
 * in float64. q and k are [B, T, H, K], v and dy [B, T, H, V].
 */
function fading({ B, T, H, K, V }: Sizes, [q, k, v, w, dy]: readonly [...Values[]]) {
  const zeros = (x: ArrayLike<number>) => new Float64Array(x.length);
  const [y, dq, dk, dv, dw] = [v, q, k, v, w].map((x) => zeros(x!)) as [
    ...[Float64Array, Float64Array, Float64Array],
    ...[Float64Array, Float64Array],
  ];
  const dot = (a: Values, i: number, b: Values, j: number, size: number) => {
    let sum = 0;
    for (let d = 0; d < size; d++) sum += a[i + d]! * b[j + d]!;
    return sum;
  };
  for (let b = 0; b < B; b++)
    for (let h = 0; h < H; h++) {
      const row = (t: number) => (b * T + t) * H + h;
      for (let n = 0; n < T; n++) {
        let fade = 0;
        // What all earlier pairs of this n send back to the decays between them.
        const through = new Float64Array(n + 1);
        for (let m = n; m >= 0; m--) {
          const share = Math.exp(fade);
          const [qn, km, yn, vm] = [row(n) * K, row(m) * K, row(n) * V, row(m) * V];
          const score = share * dot(q!, qn, k!, km, K);
          const up = dot(dy!, yn, v!, vm, V);
          for (let d = 0; d < V; d++) {
            y[yn + d]! += score * v![vm + d]!;
            dv[vm + d]! += score * dy![yn + d]!;
          }
          for (let d = 0; d < K; d++) {
            dq[qn + d]! += share * up * k![km + d]!;
            dk[km + d]! += share * up * q![qn + d]!;
          }
          through[m] = score * up;
          fade += w![row(m)]!;
        }
        let sum = 0;
        for (let t = 1; t <= n; t++) {
          sum += through[t - 1]!;
          dw[row(t)]! += sum;
        }
      }
    }
  return { y, dq, dk, dv, dw };
}

type Values = ArrayLike<number>;

/** Work of the chunked form: scores and values of a chunk of 32, and its share of the state. */
function work({ B, T, H, K, V }: Sizes, backward: boolean) {
  const products = 2 * B * T * H * (32 * (K + V) + 2 * K * V);
  return { flops: (backward ? 4 : 1) * products, values: B * T * H * (2 * K + 2 * V) };
}

function retentionLine(sizes: Sizes, backward: boolean): Line {
  const { B, T, H, K, V } = sizes;
  const { flops, values } = work(sizes, backward);
  return {
    name: `retention/chunked${backward ? "-backward" : ""}/B${B}T${T}H${H}K${K}`,
    flops,
    bytes: words((backward ? 2 : 1) * values, H),
    tolerance: 3e-4,
    prepare(device, random) {
      const keys = [B, T, H, K];
      const [q, k] = [input(device, random, keys), input(device, random, keys)];
      const [v, dy] = [input(device, random, [B, T, H, V]), input(device, random, [B, T, H, V])];
      const logDecay = input(device, random, [H], -0.05, -0.005);
      const op = () => {
        const { y, state } = retention(q.on, k.on, v.on, logDecay.on);
        state.dispose();
        return y;
      };
      return {
        inputs: [q.on, k.on, v.on, dy.on, logDecay.on],
        run: backward ? withGradients([q.on, k.on, v.on], op, dy.on) : () => [op()],
        expected: () => {
          const w = Float64Array.from({ length: B * T * H }, (_, i) => logDecay.values[i % H]!);
          const { y, dq, dk, dv } = fading(sizes, [q.values, k.values, v.values, w, dy.values]);
          return backward ? [y, dq, dk, dv] : [y];
        },
      };
    },
  };
}

function ssdLine(sizes: Sizes, backward: boolean): Line {
  const { B, T, H, K, V } = sizes;
  const { flops, values } = work(sizes, backward);
  return {
    name: `scan/ssd${backward ? "-backward" : ""}/B${B}T${T}H${H}P${V}N${K}`,
    flops,
    bytes: words((backward ? 2 : 1) * (values + B * T * H), H),
    tolerance: 3e-4,
    prepare(device, random) {
      const all: readonly Input[] = [
        input(device, random, [B, T, H, V]),
        input(device, random, [B, T, H], 0.01, 0.5),
        input(device, random, [H], -1, -0.1),
        input(device, random, [B, T, H, K]),
        input(device, random, [B, T, H, K]),
        input(device, random, [B, T, H, V]),
      ];
      const [x, dt, A, Bs, Cs, dy] = all as readonly [Input, Input, Input, Input, Input, Input];
      const op = () => {
        const { y, state } = ssd(x.on, dt.on, A.on, Bs.on, Cs.on);
        state.dispose();
        return y;
      };
      return {
        inputs: all.map(({ on }) => on),
        run: backward ? withGradients([x.on, dt.on, A.on, Bs.on, Cs.on], op, dy.on) : () => [op()],
        expected: () => {
          const filled = Float64Array.from(x.values, (value, i) => value * dt.values[Math.floor(i / V)]!);
          const w = Float64Array.from(dt.values, (value, i) => value * A.values[i % H]!);
          const { y, dq, dk, dv, dw } = fading(sizes, [Cs.values, Bs.values, filled, w, dy.values]);
          if (!backward) return [y];
          const dx = dv.map((value, i) => value * dt.values[Math.floor(i / V)]!);
          const dA = new Float64Array(H);
          const ddt = dw.map((value, i) => {
            dA[i % H]! += value * dt.values[i]!;
            let sum = value * A.values[i % H]!;
            for (let d = i * V; d < (i + 1) * V; d++) sum += dv[d]! * x.values[d]!;
            return sum;
          });
          return [y, dx, ddt, dA, dk, dq];
        },
      };
    },
  };
}

const sizes = { B: 1, T: 256, H: 4, K: 64, V: 64 };
export const lines: readonly Line[] = [
  retentionLine(sizes, false),
  retentionLine(sizes, true),
  ssdLine({ ...sizes, K: 32 }, false),
  ssdLine({ ...sizes, K: 32 }, true),
];
