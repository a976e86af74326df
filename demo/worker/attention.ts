import type { Device } from "../../src/gpu/device.ts";
import { attention } from "../../src/ops/attention/attention.ts";
import { naiveAttention } from "../../src/ops/attention/naive.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { AttentionCost, AttentionPoint } from "../protocol.ts";

/** Lengths of text. */
const TOKENS = { hardware: [256, 512, 1024, 2048, 4096], software: [128, 256, 512, 1024] } as const;
const HEAD_SIZE = 64;
/** The quickest of so many counts: whatever else the machine did slowed the others. */
const ROUNDS = 3;

/** Causal attention of one head, with its scores stored and in tiles, over longer and longer texts. */
export async function* measureAttention(device: Device, signal: AbortSignal): AsyncGenerator<AttentionPoint> {
  const random = new Random(1);
  for (const tokens of TOKENS[device.software ? "software" : "hardware"]) {
    if (signal.aborted) return;
    const operand = () => {
      const values = Float32Array.from({ length: tokens * HEAD_SIZE }, () => random.normal());
      return tensor(device, values, [1, 1, tokens, HEAD_SIZE]);
    };
    const inputs = [operand(), operand(), operand()] as const;
    try {
      const stored = await measure(device, () => naiveAttention(...inputs, { causal: true }));
      const tiled = await measure(device, () => attention(...inputs, { causal: true }));
      yield { tokens, stored: stored.cost, tiled: tiled.cost, difference: furthest(stored.result, tiled.result) };
    } finally {
      for (const one of inputs) one.dispose();
    }
  }
}

async function measure(
  device: Device,
  work: () => Tensor,
): Promise<{ cost: AttentionCost; result: ArrayLike<number> }> {
  await device.sync();
  const before = device.stats.memory.live;
  device.pool.resetPeak();
  const plan = await capture(device, work);
  try {
    plan.replay();
    const result = await plan.outputs.data();
    const bytes = device.stats.memory.peak - before;
    let milliseconds = Number.POSITIVE_INFINITY;
    for (let round = 0; round < ROUNDS; round++) {
      const start = performance.now();
      plan.replay();
      await device.sync();
      milliseconds = Math.min(milliseconds, performance.now() - start);
    }
    return { cost: { milliseconds, bytes }, result };
  } finally {
    plan.dispose();
  }
}

function furthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs((a[i] as number) - (b[i] as number)));
  return most;
}
