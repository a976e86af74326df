/** The index to which a key goes from the place that is pointed at; from none, in at the side where the key comes from. */
export function keyed(key: string, x: ArrayLike<number>, from: number | null): number | null {
  const last = x.length - 1;
  if (last < 0) return null;
  if (key === "Home") return 0;
  if (key === "End") return last;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (!step) return null;
  if (from === null) return step > 0 ? 0 : last;
  return Math.min(Math.max(nearestIndex(x, from) + step, 0), last);
}

/** The index of the value closest to `at`; values rise. */
export function nearestIndex(values: ArrayLike<number>, at: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((values[middle] as number) < at) low = middle + 1;
    else high = middle;
  }
  return low > 0 && at - (values[low - 1] as number) <= (values[low] as number) - at ? low - 1 : low;
}

/** The item closest to `at`; `of` says where an item stands, and rises. */
export function nearest<T>(items: readonly T[], of: (item: T) => number, at: number): T | undefined {
  return items[nearestIndex(items.map(of), at)];
}
