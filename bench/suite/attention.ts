import { attention } from "../../src/ops/attention/attention.ts";
import { naiveAttention } from "../../src/ops/attention/naive.ts";
import type { Line } from "../line.ts";
import { input, withGradients, words } from "./inputs.ts";

interface Sizes {
  readonly B: number;
  readonly H: number;
  readonly T: number;
  readonly D: number;
}

/** Causal attention and the gradients of q, k and v, in float64. */
function reference({ B, H, T, D }: Sizes, q: Float32Array, k: Float32Array, v: Float32Array, dy: Float32Array) {
  const [y, dq, dk, dv] = [q, q, q, q].map((x) => new Float64Array(x.length)) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  const scale = 1 / Math.sqrt(D);
  const dot = (a: Float32Array, i: number, b: Float32Array, j: number) => {
    let sum = 0;
    for (let d = 0; d < D; d++) sum += a[i + d]! * b[j + d]!;
    return sum;
  };
  for (let head = 0; head < B * H; head++) {
    const row = (t: number) => (head * T + t) * D;
    for (let t = 0; t < T; t++) {
      const scores = Float64Array.from({ length: t + 1 }, (_, s) => scale * dot(q, row(t), k, row(s)));
      const largest = Math.max(...scores);
      const weights = scores.map((s) => Math.exp(s - largest));
      const sum = weights.reduce((a, b) => a + b, 0);
      const shares = weights.map((w) => w / sum);
      const up = shares.map((_, s) => dot(dy, row(t), v, row(s)));
      const mean = shares.reduce((a, p, s) => a + p * up[s]!, 0);
      shares.forEach((p, s) => {
        const ds = scale * p * (up[s]! - mean);
        for (let d = 0; d < D; d++) {
          y[row(t) + d]! += p * v[row(s) + d]!;
          dv[row(s) + d]! += p * dy[row(t) + d]!;
          dq[row(t) + d]! += ds * k[row(s) + d]!;
          dk[row(s) + d]! += ds * q[row(t) + d]!;
        }
      });
    }
  }
  return { y, dq, dk, dv };
}

const KERNELS = { attention, naive: naiveAttention } as const;

/** The naive way is timed for what it must do, not for the half of its products that the mask hides. */
function line(sizes: Sizes, kernel: keyof typeof KERNELS, backward: boolean): Line {
  const { B, H, T, D } = sizes;
  const pairs = (B * H * T * (T + 1)) / 2;
  return {
    name: `attention/${kernel === "naive" ? "naive-" : ""}causal${backward ? "-backward" : ""}/B${B}H${H}T${T}D${D}`,
    flops: (backward ? 14 : 4) * pairs * D,
    bytes: words((backward ? 8 : 4) * B * H * T * D),
    prepare(device, random) {
      const shape = [B, H, T, D];
      const [q, k, v, dy] = [0, 1, 2, 3].map(() => input(device, random, shape)) as [
        ReturnType<typeof input>,
        ReturnType<typeof input>,
        ReturnType<typeof input>,
        ReturnType<typeof input>,
      ];
      const op = () => KERNELS[kernel](q.on, k.on, v.on, { causal: true });
      return {
        inputs: [q.on, k.on, v.on, dy.on],
        run: backward ? withGradients([q.on, k.on, v.on], op, dy.on) : () => [op()],
        expected: () => {
          const { y, dq, dk, dv } = reference(sizes, q.values, k.values, v.values, dy.values);
          return backward ? [y, dq, dk, dv] : [y];
        },
      };
    },
  };
}

const sizes = { B: 1, H: 4, T: 256, D: 64 };
export const lines: readonly Line[] = [
  line(sizes, "attention", false),
  line(sizes, "attention", true),
  line(sizes, "naive", false),
  line(sizes, "naive", true),
];
