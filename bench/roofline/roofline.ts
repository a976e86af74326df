/** What this device can do at most, measured in the same run as the lines that are compared with it. */
import type { Device } from "../../src/gpu/device.ts";
import type { Kernel } from "../../src/gpu/kernel.ts";
import { capture } from "../../src/tensor/capture.ts";
import { empty, fill } from "../../src/tensor/create.ts";
import { Random } from "../../src/tensor/philox.ts";
import { scope } from "../../src/tensor/scope.ts";
import type { Line } from "../line.ts";
import { type Beside, type Clock, isTimed, measureLine, type TimingOptions } from "../measure.ts";
import { summarise } from "../statistics.ts";
import { input } from "../suite/inputs.ts";
import { tileLines } from "./tile.ts";

export const ROOFLINE_KERNELS = ["fma", "copy", "workgroup", "tile", "tile_subgroup"] as const;
export type RooflineKernels = Readonly<Record<(typeof ROOFLINE_KERNELS)[number], Kernel>>;

/** Peaks of a device. */
export interface Roofline {
  /** 10^9 floating-point operations a second, a fused multiply-add as 2. */
  readonly gflops: number;
  /** The same of the fastest hand-written register tile of a matrix product, operands in cache: the yardstick of products. */
  readonly tileGflops: number;
  /** 10^9 bytes a second, read and written, through storage buffers. */
  readonly storageGBs: number;
  readonly workgroupGBs: number;
  /** Microseconds of one launch among many in a pass. */
  readonly dispatchUs: number;
  /** Milliseconds from asking for four bytes to having them. */
  readonly readBackMs: number;
}

/** Where a piece of work stands under the roof. */
export interface Standing {
  readonly gflops: number;
  readonly gbs: number;
  /** FLOPs a byte. */
  readonly intensity: number;
  /** Milliseconds that the device's peaks allow at best. */
  readonly boundMs: number;
  /** boundMs as a share of the measured time. */
  readonly share: number;
  readonly boundBy: "arithmetic" | "bandwidth";
}

export function standing(
  work: { flops: number; bytes: number; median: number; copyGBs?: number },
  roof: Roofline,
): Standing {
  const { flops, bytes, median, copyGBs = roof.storageGBs } = work;
  const arithmeticMs = flops / (roof.gflops * 1e6);
  const bandwidthMs = bytes / (copyGBs * 1e6);
  const boundMs = Math.max(arithmeticMs, bandwidthMs);
  return {
    gflops: flops / (median * 1e6),
    gbs: bytes / (median * 1e6),
    intensity: flops / bytes,
    boundMs,
    share: boundMs / median,
    boundBy: arithmeticMs > bandwidthMs ? "arithmetic" : "bandwidth",
  };
}

/** Chains of vectors in roofline/fma.wgsl, steps of each a turn of its loop, and the arithmetic of a turn. */
const CHAINS = 4;
const STEPS = 8;
const FMA_FLOPS = 2 * 4 * CHAINS * STEPS;

/** Enough invocations to fill a large GPU; an emulation gets fewer, or a sample would take seconds. */
const sizesFor = (software: boolean) =>
  software
    ? { invocations: 2 ** 14, loops: 128, vectors: 2 ** 20 }
    : { invocations: 2 ** 20, loops: 512, vectors: 2 ** 24 };

function peakLines(kernels: RooflineKernels, software: boolean): Record<"fma" | "copy" | "workgroup", Line> {
  const { invocations, loops, vectors } = sizesFor(software);
  const looping = (name: "fma" | "workgroup", flops: number, bytes: number, one: (i: number) => number): Line => ({
    name,
    flops,
    bytes,
    prepare: (device) => ({
      inputs: [],
      run() {
        const y = empty(device, [invocations]);
        device.dispatch(kernels[name], "forward", { y }, { loops } as never, [invocations / 64]);
        return [y];
      },
      expected: () => [Float64Array.from({ length: invocations }, (_, i) => one(i))],
    }),
  });
  return {
    fma: looping("fma", invocations * loops * FMA_FLOPS, 4 * invocations, (i) => fmaChains(i, loops)),
    workgroup: looping("workgroup", 0, invocations * loops * 64, (i) => tileSums(i % 64, loops)),
    copy: {
      name: "copy",
      flops: 0,
      bytes: 32 * vectors,
      tolerance: 0,
      prepare(device) {
        const x = input(device, new Random(1), [4 * vectors]);
        return {
          inputs: [x.on],
          run() {
            const y = empty(device, [4 * vectors]);
            device.dispatch(kernels.copy, "forward", { x: x.on, y }, {} as never, [vectors / 64]);
            return [y];
          },
          expected: () => [x.values],
        };
      },
    },
  };
}

/**
 * A copy of as many bytes as a line moves, so that caches hold as much of either, for a line that bandwidth bounds;
 * null for others. Runs inside a scope.
 */
export function copyBeside(device: Device, kernel: RooflineKernels["copy"], line: Line, roof: Roofline) {
  const { flops, bytes } = line;
  if (standing({ flops, bytes, median: 1 }, roof).boundBy === "arithmetic") return null;
  const vectors = Math.min(Math.max(Math.ceil(bytes / 32), LEAST_VECTORS), sizesFor(device.software).vectors);
  const x = scope(() => fill(empty(device, [4 * vectors]), 1));
  const beside: Beside = {
    bytes: 32 * vectors,
    run() {
      const y = empty(device, [4 * vectors]);
      device.dispatch(kernel, "forward", { x, y }, {} as never, [Math.ceil(vectors / 64)]);
    },
  };
  return { ...beside, dispose: () => x.dispose() };
}

/** What roofline/fma.wgsl computes in one invocation. */
function fmaChains(index: number, loops: number): number {
  const start = index * 1e-6;
  let sum = 0;
  for (const scale of [0.999, 0.998, 0.997, 0.996]) {
    // a <- a s + b has the closed form a s^n + b (1 - s^n) / (1 - s).
    const power = scale ** (STEPS * loops);
    for (let chain = 0; chain < CHAINS; chain++)
      sum += (start + chain / 10) * power + ((start + 0.001) * (1 - power)) / (1 - scale);
  }
  return sum;
}

/** What roofline/workgroup.wgsl computes in one invocation. */
function tileSums(lane: number, loops: number): number {
  let sum = 0;
  for (let i = 0; i < loops; i++) sum += 4 * (4 * ((lane + i) % 64) + 64 + 128 + 192);
  return sum;
}

/** Fewer than these, 2 MiB of traffic, and the launch would be a part of what is measured. */
const LEAST_VECTORS = 2 ** 16;

/** Share of a line's time that a form of tile gets at first. */
const LOOKS = 8;

/** @throws Error if a peak's own kernel gives wrong numbers */
export async function measureRoofline(
  device: Device,
  kernels: RooflineKernels,
  clock: Clock,
  options: TimingOptions,
): Promise<Roofline> {
  const lines = peakLines(kernels, device.software);
  const rate = async (line: Line, timing = options) => {
    const result = await measureLine(device, line, clock, timing);
    if (!isTimed(result)) throw new Error(`roofline: ${line.name}: ${result.error}`);
    return Math.max(line.flops, line.bytes) / (result.median * 1e6);
  };
  // The fastest form of tile gets as much time as a line, after a look at each.
  const look = { ...options, budgetMs: options.budgetMs / LOOKS };
  let best: { readonly line: Line; readonly gflops: number } | null = null;
  for (const line of tileLines(kernels, device)) {
    const gflops = await rate(line, look);
    if (!best || gflops > best.gflops) best = { line, gflops };
  }
  return {
    gflops: await rate(lines.fma),
    tileGflops: best ? Math.max(best.gflops, await rate(best.line)) : 0,
    storageGBs: await rate(lines.copy),
    workgroupGBs: await rate(lines.workgroup),
    dispatchUs: await dispatchCost(device),
    readBackMs: await readBackCost(device),
  };
}

const LAUNCHES = 256;

async function dispatchCost(device: Device): Promise<number> {
  const target = empty(device, [4]);
  const planOf = (count: number) =>
    capture(device, () => {
      for (let i = 0; i < count; i++) fill(target, i);
    });
  const [one, many] = [await planOf(1), await planOf(LAUNCHES + 1)];
  const wait = async (plan: typeof one) => {
    const start = performance.now();
    plan.replay();
    await device.sync();
    return performance.now() - start;
  };
  const samples: number[] = [];
  for (let i = 0; i < 12; i++) {
    const extra = -(await wait(one)) + (await wait(many));
    if (i >= 2) samples.push((extra * 1000) / LAUNCHES);
  }
  for (const plan of [one, many]) plan.dispose();
  target.dispose();
  return Math.max(0, summarise(samples).median);
}

async function readBackCost(device: Device): Promise<number> {
  const target = scope(() => fill(empty(device, [1]), 1));
  const samples: number[] = [];
  for (let i = 0; i < 12; i++) {
    const start = performance.now();
    await target.item();
    if (i >= 2) samples.push(performance.now() - start);
  }
  target.dispose();
  return summarise(samples).median;
}
