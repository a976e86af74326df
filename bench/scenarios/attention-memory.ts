import { backward } from "../../src/autograd/backward.ts";
import type { Device } from "../../src/gpu/device.ts";
import { attention } from "../../src/ops/attention/attention.ts";
import { naiveAttention } from "../../src/ops/attention/naive.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { timePlan } from "../work.ts";
import type { Row, Scenario } from "./scenario.ts";

const HEAD_SIZE = 64;
const PASSES = [
  { pass: "forward", trained: false, matrices: 1 },
  { pass: "and backward", trained: true, matrices: 2 },
] as const;
const KERNELS = [
  { kernel: "naive", op: naiveAttention },
  { kernel: "tiled", op: attention },
] as const;
/** Bytes of score matrices that a page may be trusted with. */
const MOST_BYTES = 2 ** 29;

type Operation = typeof attention | typeof naiveAttention;

/** Why the naive way is not tried, if so. */
function tooLarge({ limits }: Device, T: number, matrices: number): string | null {
  const [one, bound] = [T * T * 4, limits.maxStorageBufferBindingSize];
  const mib = (bytes: number) => `${Math.round(bytes / 2 ** 20)} MiB`;
  if (one > bound) return `a matrix of ${mib(one)} is more than the ${mib(bound)} of a binding`;
  const all = matrices * one;
  return all > MOST_BYTES ? `${matrices} matrices of ${mib(one)} are more than ${mib(MOST_BYTES)}` : null;
}

/** Median time and most extra memory of causal attention on one head of T tokens. */
async function measure(device: Device, op: Operation, T: number, trained: boolean) {
  const random = new Random(3);
  const shape = [1, 1, T, HEAD_SIZE];
  const inputs = Array.from({ length: 4 }, () =>
    tensor(
      device,
      Float32Array.from({ length: T * HEAD_SIZE }, () => random.normal()),
      shape,
    ),
  );
  const [q, k, v, dy] = inputs as [(typeof inputs)[0], (typeof inputs)[0], (typeof inputs)[0], (typeof inputs)[0]];
  for (const x of [q, k, v]) x.requiresGrad = trained;
  await device.sync();
  const { live } = device.stats.memory;
  device.pool.resetPeak();
  const plan = await capture(device, () => {
    const y = op(q, k, v, { causal: true });
    if (!trained) return [y];
    backward(y, dy);
    return [y];
  });
  const ms = await timePlan(device, plan);
  const peak = (device.stats.memory.peak - live) / 2 ** 20;
  for (const one of [plan, ...inputs]) one.dispose();
  return { ms, peak };
}

export const scenario: Scenario = {
  name: "attention-memory",
  title: "Attention that stores its scores, and attention that does not",
  shows:
    "Causal attention of one head of 64. Stored scores need memory by the square of the tokens, tiles in proportion to them; both need time by the square.",
  columns: [
    { name: "kind", label: "kernel and pass" },
    { name: "T", label: "tokens" },
    { name: "ms", label: "time (ms)" },
    { name: "peak", label: "memory beyond q, k and v (MiB)" },
    { name: "note", label: "left out because" },
  ],
  pictures: [
    { mark: "line", x: "T", y: "ms", series: "kind", log: ["x", "y"] },
    { mark: "line", x: "T", y: "peak", series: "kind", log: ["x", "y"] },
  ],
  async run(device, { quick, progress }) {
    const rows: Row[] = [];
    for (const { pass, trained, matrices } of PASSES)
      for (const { kernel, op } of KERNELS)
        for (const T of quick ? [32, 64] : [256, 512, 1024, 2048, 4096, 8192]) {
          const kind = `${kernel}, ${pass}`;
          progress(`${kind}, ${T} tokens`);
          const note = kernel === "naive" ? tooLarge(device, T, matrices) : null;
          const measured = note === null ? await measure(device, op, T, trained) : { ms: null, peak: null };
          rows.push({ kind, T, ...measured, note });
        }
    return rows;
  },
};
