/** Functions of the rows of a value, and their gradients. */
import { Value } from "./tape.ts";

/** Start of each row of the last axis, and its length. */
function rowsOf({ shape, data }: Value): { readonly starts: readonly number[]; readonly width: number } {
  const width = shape.at(-1)!;
  return { starts: Array.from({ length: data.length / width }, (_, row) => row * width), width };
}

/** exp(x) over its row's sum, with the logarithm of that sum. */
function softmaxRow(x: Float64Array): { readonly p: Float64Array; readonly logSum: number } {
  const largest = x.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const e = x.map((value) => Math.exp(value - largest));
  const sum = e.reduce((a, b) => a + b, 0);
  return { p: e.map((value) => value / sum), logSum: largest + Math.log(sum) };
}

export function softmax(a: Value): Value {
  const { starts, width } = rowsOf(a);
  const data = new Float64Array(a.data.length);
  for (const at of starts) data.set(softmaxRow(a.data.subarray(at, at + width)).p, at);
  return new Value(a.shape, data, (grad) => {
    for (const at of starts) {
      let dot = 0;
      for (let i = at; i < at + width; i++) dot += grad[i] * data[i];
      for (let i = at; i < at + width; i++) a.grad[i] += data[i] * (grad[i] - dot);
    }
  });
}

/** Mean over the rows of logsumexp(x) - x[target]. */
export function crossEntropy(a: Value, targets: ArrayLike<number>): Value {
  const { starts, width } = rowsOf(a);
  const count = starts.length;
  let loss = 0;
  const slopes = new Float64Array(a.data.length);
  for (const [row, at] of starts.entries()) {
    const { p, logSum } = softmaxRow(a.data.subarray(at, at + width));
    loss += (logSum - a.data[at + targets[row]]) / count;
    slopes.set(p, at);
    slopes[at + targets[row]] -= 1;
  }
  return new Value([1], Float64Array.of(loss), ([g]) => {
    for (const [i, slope] of slopes.entries()) a.grad[i] += (g! * slope) / count;
  });
}

export function layerNorm(a: Value, gain: Value, bias: Value, eps: number): Value {
  const { starts, width } = rowsOf(a);
  const [data, normal] = [new Float64Array(a.data.length), new Float64Array(a.data.length)];
  const scales = starts.map((at) => {
    const row = a.data.subarray(at, at + width);
    const mean = row.reduce((sum, x) => sum + x, 0) / width;
    const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / width;
    const scale = 1 / Math.sqrt(variance + eps);
    for (let c = 0; c < width; c++) {
      normal[at + c] = (row[c] - mean) * scale;
      data[at + c] = normal[at + c] * gain.data[c] + bias.data[c];
    }
    return scale;
  });
  return new Value(a.shape, data, (grad) => {
    for (const [row, at] of starts.entries()) {
      let [sum, dot] = [0, 0];
      for (let c = 0; c < width; c++) {
        const [g, x] = [grad[at + c], normal[at + c]];
        gain.grad[c] += g * x;
        bias.grad[c] += g;
        sum += g * gain.data[c];
        dot += g * gain.data[c] * x;
      }
      for (let c = 0; c < width; c++) {
        const direct = grad[at + c] * gain.data[c];
        a.grad[at + c] += scales[row] * (direct - sum / width - (normal[at + c] * dot) / width);
      }
    }
  });
}
