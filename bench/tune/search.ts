/** Tries the candidates of a family on a device: each is checked against float64 before it is timed. */
import type { Device } from "../../src/gpu/device.ts";
import type { DeviceKnobs } from "../../src/ops/tuned.ts";
import type { Line } from "../line.ts";
import { type Clock, isTimed, measureLine, type TimingOptions } from "../measure.ts";
import type { Family } from "./families.ts";

/** How a candidate did. */
export interface Trial<K = unknown> {
  readonly candidate: K;
  /** Milliseconds of each piece of work; empty if the candidate failed. */
  readonly ms: readonly number[];
  /** Time as a multiple of what the device has now, the geometric mean over the pieces. */
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
/** How often, beside what stands, after the search. */
const CONFIRMATIONS = 2;

/** References by piece of work, which take longer than the candidates: the same for all, as the inputs come from one seed. */
class References {
  private readonly made = new Map<number, readonly ArrayLike<number>[]>();

  /** The line with its reference computed once. */
  of(line: Line, piece: number): Line {
    return {
      ...line,
      prepare: (device, random) => {
        const work = line.prepare(device, random);
        const expected = () => {
          const found = this.made.get(piece) ?? work.expected();
          this.made.set(piece, found);
          return found;
        };
        return { ...work, expected };
      },
    };
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
  knobs: DeviceKnobs,
  clock: Clock,
  options: TimingOptions,
  progress: (text: string) => void,
): Promise<Search<K>> {
  const references = new References();
  const measured = async (candidate: K): Promise<{ ms: number[]; error: string | null }> => {
    const ms: number[] = [];
    for (const piece of family.work.keys()) {
      const line = references.of(family.line(candidate, piece, knobs), piece);
      const result = await measureLine(device, line, clock, options);
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
  // The fastest of many was lucky too: it must be faster twice more, right beside what stands.
  for (let round = 0; round < CONFIRMATIONS; round++) {
    progress(`${family.name}: once more, ${JSON.stringify(search.winner)}`);
    const [before, again] = [await measured(now), await measured(search.winner)];
    const confirmed = again.error === null && before.error === null && ratioOf(again.ms, before.ms) < 1 - MARGIN;
    if (!confirmed) return { ...search, winner: null };
  }
  return search;
}

/** The geometric mean of times as multiples of others. */
function ratioOf(ms: readonly number[], others: readonly number[]): number {
  const logs = ms.map((time, i) => Math.log(time / (others[i] as number)));
  return Math.exp(logs.reduce((sum, log) => sum + log, 0) / logs.length);
}
