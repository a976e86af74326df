import type { Device } from "./device.ts";
import { LimitError } from "./errors.ts";

/** GPU time of one kernel launch. */
export interface KernelTime {
  /** `kernel.entry` */
  readonly label: string;
  /** Nanoseconds, as fine as the browser reports them. */
  readonly ns: number;
}

const MAX_QUERIES = 4096;

/**
 * Runs `fn` and returns the GPU time of each launch that it recorded, in order, by timestamp queries
 * around a pass each. At most 2,048 launches.
 * @throws LimitError without the `timestamp-query` feature
 */
export function profile(device: Device, fn: () => void): Promise<KernelTime[]> {
  return timed(device, "profile", false, fn);
}

/**
 * GPU nanoseconds of everything that `fn` records, in passes as long as the work allows: a clock that ticks
 * coarsely measures many repetitions of a short kernel where it cannot measure one.
 * @throws LimitError without the `timestamp-query` feature
 */
export async function passTime(device: Device, fn: () => void): Promise<number> {
  const passes = await timed(device, "passTime", true, fn);
  return passes.reduce((sum, { ns }) => sum + ns, 0);
}

async function timed(device: Device, name: string, whole: boolean, fn: () => void): Promise<KernelTime[]> {
  if (!device.has("timestamp-query")) {
    throw new LimitError(`${name}: this device has no timestamp-query feature; time whole submits with sync() instead`);
  }
  await device.sync(); // what was recorded before is not timed
  const { gpu } = device;
  const querySet = gpu.createQuerySet({ type: "timestamp", count: MAX_QUERIES });
  const resolved = gpu.createBuffer({
    size: MAX_QUERIES * 8,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const staging = gpu.createBuffer({ size: MAX_QUERIES * 8, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
  const labels: string[] = [];
  device.setTimer({
    whole,
    next(label) {
      const at = labels.length * 2;
      if (at >= MAX_QUERIES) return undefined;
      labels.push(label);
      return { querySet, beginningOfPassWriteIndex: at, endOfPassWriteIndex: at + 1 };
    },
  });
  try {
    fn();
    await device.sync();
    if (labels.length === 0) return [];
    const encoder = gpu.createCommandEncoder();
    encoder.resolveQuerySet(querySet, 0, labels.length * 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, labels.length * 16);
    gpu.queue.submit([encoder.finish()]);
    await device.guard(staging.mapAsync(GPUMapMode.READ));
    const times = new BigUint64Array(staging.getMappedRange(0, labels.length * 16));
    return labels.map((label, i) => ({ label, ns: Number((times[2 * i + 1] as bigint) - (times[2 * i] as bigint)) }));
  } finally {
    device.setTimer(null);
    querySet.destroy();
    resolved.destroy();
    staging.destroy();
  }
}
