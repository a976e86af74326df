/** Tries the candidates of a family on a device: each is checked against float64 before it is timed. */
import type { Device } from "../../src/gpu/device.ts";
import type { ProductShape } from "../../src/ops/choice.ts";
import { product } from "../../src/ops/product.ts";
import type { ProductKnobs } from "../../src/ops/tuned.ts";
import { empty } from "../../src/tensor/create.ts";
import type { Line } from "../line.ts";
import { type Clock, isTimed, measureLine, type TimingOptions } from "../measure.ts";
import { input, words } from "../suite/inputs.ts";
import { productReference } from "../suite/matmul.ts";
import type { Family } from "./families.ts";

/** How a candidate did. */
export interface Trial<K = unknown> {
  readonly candidate: K;
  /** Milliseconds of each shape; empty if the candidate failed. */
  readonly ms: readonly number[];
  /** Time as a multiple of what the device has now, the geometric mean over the shapes. */
  readonly ratio: number;
  readonly error: string | null;
}

export interface Search<K = unknown> {
  readonly family: Family<K>;
  /** Those right first, the fastest before the others. */
  readonly trials: readonly Trial<K>[];
  /** Faster than what the device has now by more than noise; else null. */
  readonly winner: K | null;
}

/** A candidate must be faster by this share to replace what stands. */
const MARGIN = 0.03;

/** One product with a candidate, as a line of the bench. */
function lineOf<K>(family: Family<K>, candidate: K, shape: ProductShape, knobs: ProductKnobs, want: Expected): Line {
  const { M, N, K } = shape;
  return {
    name: `${family.name} ${JSON.stringify(candidate)} ${M}x${K}x${N}`,
    flops: 2 * M * N * K,
    bytes: words(M * K, K * N, M * N),
    prepare(device, random) {
      const a = input(device, random, [M, K]);
      const b = input(device, random, shape.transposeB ? [N, K] : [K, N]);
      const choice = family.choice(candidate, shape, knobs);
      return {
        inputs: [a.on, b.on],
        run() {
          const out = empty(device, [M, N]);
          product(device, { ...shape, a: a.on, b: b.on, out, choice });
          return [out];
        },
        // The inputs are the same for every candidate, as they come from one seed.
        expected: () => [want.of(shape, () => productReference(a.values, b.values, shape))],
      };
    },
  };
}

/** References by shape: they take longer than the candidates. */
class Expected {
  private readonly made = new Map<ProductShape, Float64Array>();

  of(shape: ProductShape, make: () => Float64Array): Float64Array {
    const found = this.made.get(shape) ?? make();
    this.made.set(shape, found);
    return found;
  }
}

/** The order of the trials, and whether the best is worth a change. */
export function judge<K>(family: Family<K>, trials: readonly Trial<K>[]): Search<K> {
  const sorted = [...trials].sort((a, b) => a.ratio - b.ratio);
  const [best] = sorted;
  const better = best && best.error === null && best.ratio < 1 - MARGIN;
  return { family, trials: sorted, winner: better ? best.candidate : null };
}

/** @throws Error if what the device has now cannot be measured */
export async function searchFamily<K>(
  device: Device,
  family: Family<K>,
  knobs: ProductKnobs,
  clock: Clock,
  options: TimingOptions,
  progress: (text: string) => void,
): Promise<Search<K>> {
  const want = new Expected();
  const measured = async (candidate: K): Promise<{ ms: number[]; error: string | null }> => {
    const ms: number[] = [];
    for (const shape of family.shapes) {
      const result = await measureLine(device, lineOf(family, candidate, shape, knobs, want), clock, options);
      if (!isTimed(result)) return { ms: [], error: result.error };
      ms.push(result.low);
    }
    return { ms, error: null };
  };
  const now = family.now(knobs);
  const base = await measured(now);
  if (base.error !== null) throw new Error(`tune: ${family.name} as it is: ${base.error}`);
  const others = family.candidates.filter((candidate) => JSON.stringify(candidate) !== JSON.stringify(now));
  const trials: Trial<K>[] = [{ candidate: now, ms: base.ms, ratio: 1, error: null }];
  for (const [i, candidate] of others.entries()) {
    progress(`${family.name}: candidate ${i + 1} of ${others.length}, ${JSON.stringify(candidate)}`);
    const { ms, error } = await measured(candidate);
    trials.push({ candidate, ms, error, ratio: error === null ? ratioOf(ms, base.ms) : Number.POSITIVE_INFINITY });
  }
  const search = judge(family, trials);
  if (search.winner === null) return search;
  // The fastest of many was lucky too: it must be faster once more, right beside what stands.
  progress(`${family.name}: once more, ${JSON.stringify(search.winner)}`);
  const [again, before] = [await measured(search.winner), await measured(now)];
  const confirmed = again.error === null && before.error === null && ratioOf(again.ms, before.ms) < 1 - MARGIN;
  return confirmed ? search : { ...search, winner: null };
}

/** The geometric mean of times as multiples of others. */
function ratioOf(ms: readonly number[], others: readonly number[]): number {
  const logs = ms.map((time, i) => Math.log(time / (others[i] as number)));
  return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
}
