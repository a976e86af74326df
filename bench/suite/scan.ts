/** State-space layers: the causal convolution and the selective scan of Mamba, with their gradients. */
import { causalConv1d } from "../../src/ops/scan/conv.ts";
import { selectiveScan } from "../../src/ops/scan/scan.ts";
import type { Line } from "../line.ts";
import { type Input, input, withGradients, words } from "./inputs.ts";

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => (x > 20 ? x : Math.log1p(Math.exp(x)));

/** y = silu(z), z_t = bias + sum_j weight_j x_(t-K+1+j), and the gradients of x, weight and bias, in float64. */
function convolution(B: number, T: number, C: number, K: number, inputs: readonly Float32Array[]) {
  const [x, weight, bias, dy] = inputs as [Float32Array, Float32Array, Float32Array, Float32Array];
  const [y, dx] = [new Float64Array(x.length), new Float64Array(x.length)];
  const [dw, db] = [new Float64Array(C * K), new Float64Array(C)];
  for (let b = 0; b < B; b++)
    for (let t = 0; t < T; t++)
      for (let c = 0; c < C; c++) {
        const at = (b * T + t) * C + c;
        const first = Math.max(0, K - 1 - t);
        let z = bias[c]!;
        for (let j = first; j < K; j++) z += weight[c * K + j]! * x[at + (j - K + 1) * C]!;
        const s = sigmoid(z);
        y[at] = z * s;
        const dz = dy[at]! * s * (1 + z * (1 - s));
        db[c]! += dz;
        for (let j = first; j < K; j++) {
          dw[c * K + j]! += dz * x[at + (j - K + 1) * C]!;
          dx[at + (j - K + 1) * C]! += dz * weight[c * K + j]!;
        }
      }
  return [y, dx, dw, db] as const;
}

function convLine(B: number, T: number, C: number, K: number, backward: boolean): Line {
  const values = B * T * C;
  return {
    name: `scan/conv1d${backward ? "-backward" : ""}/B${B}T${T}C${C}K${K}`,
    flops: (2 * K * (backward ? 4 : 1) + (backward ? 10 : 4)) * values,
    bytes: words((backward ? 4 : 2) * values, (backward ? 2 : 1) * (K + 1) * C),
    prepare(device, random) {
      const [x, weight, bias, dy] = [[B, T, C], [C, 1, K], [C], [B, T, C]].map((shape) =>
        input(device, random, shape),
      ) as [Input, Input, Input, Input];
      const leaves = [x.on, weight.on, bias.on];
      const op = () => {
        const { y, state } = causalConv1d(x.on, weight.on, { bias: bias.on, activation: "silu" });
        state.dispose();
        return y;
      };
      return {
        inputs: [...leaves, dy.on],
        run: backward ? withGradients(leaves, op, dy.on) : () => [op()],
        expected: () =>
          convolution(
            B,
            T,
            C,
            K,
            [x, weight, bias, dy].map(({ values }) => values),
          ).slice(0, backward ? 4 : 1),
      };
    },
  };
}

interface ScanSizes {
  readonly B: number;
  readonly T: number;
  readonly E: number;
  readonly N: number;
}

/** h_t = e^(p_t A) h_(t-1) + p_t B_t u_t with p = softplus(delta), y = C_t h_t + D u_t; then the gradients of all, in float64. */
function scan({ B, T, E, N }: ScanSizes, inputs: readonly Float32Array[]) {
  const [u, delta, A, Bs, Cs, D, dy] = inputs as Float32Array[] as [
    ...[Float32Array, Float32Array, Float32Array, Float32Array],
    ...[Float32Array, Float32Array, Float32Array],
  ];
  const like = (x: Float32Array) => new Float64Array(x.length);
  const [y, du, ddelta, dA, dB, dC, dD] = [u, u, delta, A, Bs, Cs, D].map(like) as [
    ...[Float64Array, Float64Array, Float64Array, Float64Array],
    ...[Float64Array, Float64Array, Float64Array],
  ];
  for (let b = 0; b < B; b++)
    for (let e = 0; e < E; e++) {
      const states = Array.from({ length: T + 1 }, () => new Float64Array(N));
      for (let t = 0; t < T; t++) {
        const at = (b * T + t) * E + e;
        const pace = softplus(delta[at]!);
        y[at] = D[e]! * u[at]!;
        for (let n = 0; n < N; n++) {
          const i = (b * T + t) * N + n;
          const h = Math.exp(pace * A[e * N + n]!) * states[t]![n]! + pace * Bs[i]! * u[at]!;
          states[t + 1]![n] = h;
          y[at]! += Cs[i]! * h;
        }
      }
      const up = new Float64Array(N);
      for (let t = T - 1; t >= 0; t--) {
        const at = (b * T + t) * E + e;
        const pace = softplus(delta[at]!);
        let dpace = 0;
        du[at] = D[e]! * dy[at]!;
        dD[e]! += u[at]! * dy[at]!;
        for (let n = 0; n < N; n++) {
          const i = (b * T + t) * N + n;
          const [a, before] = [A[e * N + n]!, states[t]![n]!];
          const g = up[n]! + Cs[i]! * dy[at]!;
          const fade = Math.exp(pace * a);
          dC[i]! += dy[at]! * states[t + 1]![n]!;
          dB[i]! += g * pace * u[at]!;
          du[at]! += g * pace * Bs[i]!;
          dA[e * N + n]! += g * before * fade * pace;
          dpace += g * (before * fade * a + Bs[i]! * u[at]!);
          up[n] = g * fade;
        }
        ddelta[at] = dpace * sigmoid(delta[at]!);
      }
    }
  return [y, du, ddelta, dA, dB, dC, dD];
}

function scanLine(sizes: ScanSizes, backward: boolean): Line {
  const { B, T, E, N } = sizes;
  const [wide, narrow] = [B * T * E, B * T * N];
  return {
    name: `scan/selective${backward ? "-backward" : ""}/B${B}T${T}E${E}N${N}`,
    flops: (backward ? 24 : 8) * wide * N,
    bytes: words((backward ? 6 : 3) * wide, (backward ? 4 : 2) * narrow, (backward ? 2 : 1) * E * (N + 1)),
    prepare(device, random) {
      const ranges = [
        ...[[[B, T, E], -1, 1] as const, [[B, T, E], -3, 1] as const, [[E, N], -2, -0.1] as const],
        ...[
          [[B, T, N], -1, 1] as const,
          [[B, T, N], -1, 1] as const,
          [[E], -1, 1] as const,
          [[B, T, E], -1, 1] as const,
        ],
      ];
      const all = ranges.map(([shape, low, high]) => input(device, random, shape, low, high));
      const [u, delta, A, Bs, Cs, D, dy] = all.map(({ on }) => on) as [
        ...[Input["on"], Input["on"], Input["on"], Input["on"]],
        ...[Input["on"], Input["on"], Input["on"]],
      ];
      const op = () => {
        const { y, state } = selectiveScan(u, delta, A, Bs, Cs, { D, deltaSoftplus: true });
        state.dispose();
        return y;
      };
      return {
        inputs: all.map(({ on }) => on),
        run: backward ? withGradients([u, delta, A, Bs, Cs, D], op, dy) : () => [op()],
        expected: () =>
          scan(
            sizes,
            all.map(({ values }) => values),
          ).slice(0, backward ? 7 : 1),
      };
    },
  };
}

const sizes = { B: 1, T: 128, E: 128, N: 16 };
export const lines: readonly Line[] = [
  convLine(2, 256, 512, 4, false),
  convLine(2, 256, 512, 4, true),
  scanLine(sizes, false),
  scanLine(sizes, true),
];
