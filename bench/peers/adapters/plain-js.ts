/** Loops over Float32Array, no library: what a page gets with no engine at all. */
import type { Engine, Work } from "../page/engine.ts";
import type { Attention, LayerNorm, LstmGenerate, Matmul, Outputs, Softmax, Wkv, Workload } from "../workloads.ts";

type Numbers = Float32Array<ArrayBuffer>;

function matmul({ sizes: { M, K, N }, inputs: { a, b } }: Matmul): Outputs {
  const y = new Float32Array(M * N);
  for (let m = 0; m < M; m++) for (let k = 0; k < K; k++) addRow(y, m * N, a.data[m * K + k], b.data, k * N, N);
  return { y };
}

/** y += x * row */
function addRow(y: Numbers, at: number, x: number, matrix: Numbers, row: number, width: number): void {
  for (let n = 0; n < width; n++) y[at + n] += x * matrix[row + n];
}

function softmax({ sizes: { R, C }, inputs: { x } }: Softmax): Outputs {
  const y = new Float32Array(R * C);
  for (let at = 0; at < R * C; at += C) {
    let [largest, sum] = [Number.NEGATIVE_INFINITY, 0];
    for (let i = at; i < at + C; i++) largest = Math.max(largest, x.data[i]);
    for (let i = at; i < at + C; i++) {
      y[i] = Math.exp(x.data[i] - largest);
      sum += y[i];
    }
    for (let i = at; i < at + C; i++) y[i] /= sum;
  }
  return { y };
}

function layerNorm({ sizes: { R, C, eps }, inputs: { x, g, b } }: LayerNorm): Outputs {
  const y = new Float32Array(R * C);
  for (let at = 0; at < R * C; at += C) {
    let [mean, variance] = [0, 0];
    for (let c = 0; c < C; c++) mean += x.data[at + c] / C;
    for (let c = 0; c < C; c++) variance += (x.data[at + c] - mean) ** 2 / C;
    const scale = 1 / Math.sqrt(variance + eps);
    for (let c = 0; c < C; c++) y[at + c] = (x.data[at + c] - mean) * scale * g.data[c] + b.data[c];
  }
  return { y };
}

function attention({ sizes: { H, T, D }, inputs: { q, k, v } }: Attention): Outputs {
  const y = new Float32Array(H * T * D);
  const scores = new Float32Array(T);
  for (let row = 0; row < H * T; row++) {
    const head = Math.floor(row / T) * T;
    const count = row - head + 1;
    let [largest, sum] = [Number.NEGATIVE_INFINITY, 0];
    for (let j = 0; j < count; j++) {
      let dot = 0;
      for (let d = 0; d < D; d++) dot += q.data[row * D + d] * k.data[(head + j) * D + d];
      scores[j] = dot / Math.sqrt(D);
      largest = Math.max(largest, scores[j]);
    }
    for (let j = 0; j < count; j++) {
      const share = Math.exp(scores[j] - largest);
      sum += share;
      addRow(y, row * D, share, v.data, (head + j) * D, D);
    }
    for (let d = 0; d < D; d++) y[row * D + d] /= sum;
  }
  return { y };
}

function wkv({ sizes: { B, T, C }, inputs: { w, u, k, v } }: Wkv): Outputs {
  const y = new Float32Array(B * T * C);
  for (let channel = 0; channel < B * C; channel++) {
    const c = channel % C;
    let [a, b, p] = [0, 0, -1e30];
    for (let t = 0; t < T; t++) {
      const i = (Math.floor(channel / C) * T + t) * C + c;
      const [kt, vt] = [k.data[i], v.data[i]];
      const largest = Math.max(p, u.data[c] + kt);
      const [before, now] = [Math.exp(p - largest), Math.exp(u.data[c] + kt - largest)];
      y[i] = (before * a + now * vt) / (before * b + now);
      const next = Math.max(p + w.data[c], kt);
      const [keep, add] = [Math.exp(p + w.data[c] - next), Math.exp(kt - next)];
      [a, b, p] = [keep * a + add * vt, keep * b + add, next];
    }
  }
  return { y };
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

function generate({ sizes: { E, H, V, N, start }, inputs, parameters: p }: LstmGenerate): Outputs {
  const [h, c, z, scores] = [H, H, 4 * H, V].map((size) => new Float32Array(size));
  const tokens: number[] = [];
  for (let n = 0, token = start; n < N; n++) {
    z.set(p.b.data);
    for (let e = 0; e < E; e++) addRow(z, 0, p.emb.data[token * E + e], p.wx.data, e * 4 * H, 4 * H);
    for (let j = 0; j < H; j++) addRow(z, 0, h[j], p.wh.data, j * 4 * H, 4 * H);
    for (let j = 0; j < H; j++) {
      c[j] = sigmoid(z[H + j]) * c[j] + sigmoid(z[j]) * Math.tanh(z[2 * H + j]);
      h[j] = sigmoid(z[3 * H + j]) * Math.tanh(c[j]);
    }
    scores.set(p.bo.data);
    for (let j = 0; j < H; j++) addRow(scores, 0, h[j], p.wo.data, j * V, V);
    for (let id = 0; id < V; id++) scores[id] += inputs.noise.data[n * V + id];
    token = scores.indexOf(Math.max(...scores));
    tokens.push(token);
  }
  return { tokens };
}

function calculation(workload: Workload): (() => Outputs) | null {
  switch (workload.kind) {
    case "matmul":
      return () => matmul(workload);
    case "softmax":
      return () => softmax(workload);
    case "layernorm":
      return () => layerNorm(workload);
    case "attention":
      return workload.sizes.backward ? null : () => attention(workload);
    case "wkv":
      return workload.sizes.backward ? null : () => wkv(workload);
    case "lstmGenerate":
      return () => generate(workload);
    default:
      return null;
  }
}

export const engine: Engine = {
  unsupported: (workload) => (calculation(workload) ? null : "gradients were not written by hand"),
  async prepare(workload): Promise<Work> {
    const calculate = calculation(workload) ?? (() => ({}));
    let outputs: Outputs = {};
    return {
      step() {
        outputs = calculate();
      },
      sync: async () => {},
      read: async () => outputs,
      dispose: () => {},
    };
  },
};
