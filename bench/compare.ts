import { isTimed, type Result } from "./measure.ts";

export type Verdict = "faster" | "same" | "slower" | "new" | "broken";

export interface Comparison {
  readonly name: string;
  /** Time now as a multiple of the kept time; null where one is missing. */
  readonly ratio: number | null;
  readonly verdict: Verdict;
}

/**
 * A line is slower or faster only if the medians differ by more than `maxRegression` and the quartiles do not overlap:
 * what a busy machine does to one run is no regression.
 */
export function compareRuns(now: readonly Result[], kept: readonly Result[], maxRegression: number): Comparison[] {
  return now.map((result) => {
    const before = kept.find(({ name }) => name === result.name);
    const { name } = result;
    if (!isTimed(result)) return { name, ratio: null, verdict: "broken" };
    if (!before || !isTimed(before)) return { name, ratio: null, verdict: "new" };
    const ratio = result.median / before.median;
    if (ratio > 1 + maxRegression && result.low > before.high) return { name, ratio, verdict: "slower" };
    if (ratio < 1 / (1 + maxRegression) && result.high < before.low) return { name, ratio, verdict: "faster" };
    return { name, ratio, verdict: "same" };
  });
}

/** Whether a run may pass. */
export function passes(comparisons: readonly Comparison[]): boolean {
  return comparisons.every(({ verdict }) => verdict !== "slower" && verdict !== "broken");
}
