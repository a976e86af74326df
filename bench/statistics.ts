/** Summary of repeated measurements. */
export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/** Value below which a share of the samples lies, between neighbours by linear interpolation. */
export function quantile(sorted: readonly number[], share: number): number {
  const place = share * (sorted.length - 1);
  const below = sorted[Math.floor(place)] as number;
  return below + (place - Math.floor(place)) * ((sorted[Math.ceil(place)] as number) - below);
}

/** Median, quartiles (`low`, `high`) and count. @throws RangeError without samples */
export function summarise(samples: readonly number[]): Summary {
  if (samples.length === 0) throw new RangeError("summarise: there are no samples; measure at least once");
  const sorted = [...samples].sort((a, b) => a - b);
  const [low, median, high] = [0.25, 0.5, 0.75].map((share) => quantile(sorted, share)) as [number, number, number];
  return { median, low, high, count: sorted.length };
}

/** Greatest common divisor of whole numbers, 0 for none: the tick of a clock, given its intervals. */
export function commonDivisor(values: readonly number[]): number {
  return values.reduce((a, b) => {
    let [x, y] = [a, b];
    while (y > 0) [x, y] = [y, x % y];
    return x;
  }, 0);
}
