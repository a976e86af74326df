import { ValueError } from "../gpu/errors.ts";

/** What a schedule is made of: plain JSON, stored in checkpoints. Rates are >= 0; counts are optimizer steps. */
export type ScheduleDescription =
  | { readonly kind: "constant"; readonly lr: number }
  | { readonly kind: "linearWarmup"; readonly peak: number; readonly start: number; readonly warmup: number }
  | WarmupCosine
  | { readonly kind: "cosineAnnealing"; readonly base: number; readonly min: number; readonly total: number }
  | { readonly kind: "linearWarmupDecay"; readonly peak: number; readonly warmup: number; readonly total: number }
  | { readonly kind: "step"; readonly base: number; readonly stepSize: number; readonly gamma: number }
  | { readonly kind: "exponential"; readonly base: number; readonly gamma: number };

interface WarmupCosine {
  readonly kind: "warmupCosine";
  readonly peak: number;
  readonly floor: number;
  readonly warmup: number;
  readonly total: number;
  readonly fromZero: boolean;
}

/** The learning rate of an optimizer step, counted from 0 (not of a micro-batch), and the description that rebuilds it. */
export interface Schedule {
  (step: number): number;
  readonly description: ScheduleDescription;
}

/**
 * The same rate at every step.
 * @throws ValueError for a rate below 0 or a count that is no whole number
 */
export function constantLr(lr: number): Schedule {
  checkRates("constantLr", { lr });
  return schedule({ kind: "constant", lr }, () => lr);
}

/**
 * From `start` times `peak` in a line up to `peak` at step `warmup`, then constant.
 * With start 0.1 it is torch.optim.lr_scheduler.LinearLR(start_factor=0.1, total_iters=warmup).
 * @throws ValueError for a rate below 0 or a count that is no whole number
 */
export function linearWarmup(options: { peak: number; warmup: number; start?: number }): Schedule {
  const { peak, warmup, start = 0 } = options;
  checkRates("linearWarmup", { peak, start });
  checkCounts("linearWarmup", { warmup });
  return schedule({ kind: "linearWarmup", peak, start, warmup }, (step) =>
    step >= warmup ? peak : peak * (start + ((1 - start) * step) / warmup),
  );
}

/**
 * A linear ramp, peak (step + 1) / (warmup + 1), then half a cosine from `peak` at step `warmup` to `floor` at step
 * `total`, and `floor` from there on; the ramp of nanoGPT. With `fromZero` the ramp is peak step / warmup, so step 0 has rate 0,
 * as in get_cosine_schedule_with_warmup of Hugging Face Transformers.
 * @throws ValueError for a rate below 0 or a count that is no whole number, or a warm-up as long as the run
 */
export function warmupCosine(options: {
  peak: number;
  total: number;
  floor?: number;
  warmup?: number;
  fromZero?: boolean;
}): Schedule {
  const { peak, total, floor = 0, warmup = 0, fromZero = false } = options;
  checkRates("warmupCosine", { peak, floor });
  checkCounts("warmupCosine", { warmup, total });
  checkWarmup("warmupCosine", warmup, total);
  return schedule({ kind: "warmupCosine", peak, floor, warmup, total, fromZero }, (step) => {
    if (step < warmup) return fromZero ? (peak * step) / warmup : (peak * (step + 1)) / (warmup + 1);
    return step >= total ? floor : cosine(peak, floor, (step - warmup) / (total - warmup));
  });
}

/**
 * Half a cosine from `base` at step 0 to `min` at step `total`: torch.optim.lr_scheduler.CosineAnnealingLR(T_max=total),
 * but `min` after `total`, where torch's rate climbs again.
 * @throws ValueError for a rate below 0 or a count that is no whole number
 */
export function cosineAnnealing(options: { base: number; total: number; min?: number }): Schedule {
  const { base, total, min = 0 } = options;
  checkRates("cosineAnnealing", { base, min });
  checkCounts("cosineAnnealing", { total });
  return schedule({ kind: "cosineAnnealing", base, min, total }, (step) =>
    step >= total ? min : cosine(base, min, step / total),
  );
}

/**
 * peak step / warmup up to step `warmup`, then in a line down to 0 at step `total`:
 * get_linear_schedule_with_warmup of Hugging Face Transformers.
 * @throws ValueError for a rate below 0 or a count that is no whole number, or a warm-up as long as the run
 */
export function linearWarmupDecay(options: { peak: number; total: number; warmup?: number }): Schedule {
  const { peak, total, warmup = 0 } = options;
  checkRates("linearWarmupDecay", { peak });
  checkCounts("linearWarmupDecay", { warmup, total });
  checkWarmup("linearWarmupDecay", warmup, total);
  return schedule({ kind: "linearWarmupDecay", peak, warmup, total }, (step) => {
    if (step < warmup) return (peak * step) / warmup;
    return step >= total ? 0 : (peak * (total - step)) / (total - warmup);
  });
}

/**
 * `base` times `gamma` for each `stepSize` steps gone: torch.optim.lr_scheduler.StepLR.
 * @throws ValueError for a rate below 0 or a count that is no whole number
 */
export function stepLr(options: { base: number; stepSize: number; gamma?: number }): Schedule {
  const { base, stepSize, gamma = 0.1 } = options;
  checkRates("stepLr", { base, gamma });
  checkCounts("stepLr", { stepSize });
  if (stepSize === 0) throw new ValueError("stepLr: stepSize must be at least 1, got 0");
  return schedule({ kind: "step", base, stepSize, gamma }, (step) => base * gamma ** Math.floor(step / stepSize));
}

/**
 * base gamma^step: torch.optim.lr_scheduler.ExponentialLR.
 * @throws ValueError for a rate below 0 or a count that is no whole number
 */
export function exponentialLr(options: { base: number; gamma: number }): Schedule {
  const { base, gamma } = options;
  checkRates("exponentialLr", { base, gamma });
  return schedule({ kind: "exponential", base, gamma }, (step) => base * gamma ** step);
}

/**
 * The schedule of a description, as a checkpoint stores it.
 * @throws ValueError for a kind that this version does not know
 */
export function scheduleFrom(description: ScheduleDescription): Schedule {
  switch (description.kind) {
    case "constant":
      return constantLr(description.lr);
    case "linearWarmup":
      return linearWarmup(description);
    case "warmupCosine":
      return warmupCosine(description);
    case "cosineAnnealing":
      return cosineAnnealing(description);
    case "linearWarmupDecay":
      return linearWarmupDecay(description);
    case "step":
      return stepLr(description);
    case "exponential":
      return exponentialLr(description);
    default: {
      const { kind } = description as { kind: unknown };
      throw new ValueError(
        `scheduleFrom: there is no schedule of kind ${JSON.stringify(kind)}; the description is damaged or of a later version`,
      );
    }
  }
}

function schedule(description: ScheduleDescription, rate: (step: number) => number): Schedule {
  return Object.assign((step: number) => rate(step), { description });
}

/** Half a cosine from `high` at progress 0 to `low` at progress 1. */
function cosine(high: number, low: number, progress: number): number {
  return low + 0.5 * (high - low) * (1 + Math.cos(Math.PI * progress));
}

function checkRates(operation: string, rates: Record<string, number>): void {
  for (const [name, value] of Object.entries(rates)) {
    if (!Number.isFinite(value) || value < 0)
      throw new ValueError(`${operation}: ${name} must be a finite number of at least 0, got ${value}`);
  }
}

function checkCounts(operation: string, counts: Record<string, number>): void {
  for (const [name, value] of Object.entries(counts)) {
    if (!Number.isSafeInteger(value) || value < 0)
      throw new ValueError(`${operation}: ${name} must be a number of steps, an integer of at least 0, got ${value}`);
  }
}

function checkWarmup(operation: string, warmup: number, total: number): void {
  if (warmup > total)
    throw new ValueError(
      `${operation}: warmup is ${warmup} and total is ${total}; a run of ${total} steps needs a shorter warm-up`,
    );
}
