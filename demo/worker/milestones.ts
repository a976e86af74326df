/** Steps before the first evaluation and sample. */
const FIRST = 10;
/** Later a run has about this many. */
const EVEN = 40;

/**
 * The step at which the run is next evaluated and sampled: at 10, 20, 40, 80 and so on, then at even distances.
 * The same for every step between two milestones, so that an interruption moves none.
 */
export function nextMilestone(step: number, steps: number): number {
  const doubling = step < FIRST ? FIRST : FIRST * 2 ** Math.floor(Math.log2(step / FIRST));
  const distance = Math.min(doubling, Math.max(FIRST, Math.ceil(steps / EVEN)));
  return Math.min(steps, (Math.floor(step / distance) + 1) * distance);
}
