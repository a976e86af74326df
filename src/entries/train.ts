/**
 * Optimizers, schedules, the trainer and its checkpoints.
 * @module ostinato/train
 */
// Public names only; nothing inside src imports this file.
export { Adam, type AdamOptions, AdamW } from "../optim/adam.ts";
export type { ParameterGroup } from "../optim/groups.ts";
export { type GroupOptions, optimizerGroups } from "../optim/modelGroups.ts";
export type { OptimizerOptions, StepReport } from "../optim/optimizer.ts";
export {
  constantLr,
  cosineAnnealing,
  exponentialLr,
  linearWarmup,
  linearWarmupDecay,
  type Schedule,
  type ScheduleDescription,
  scheduleFrom,
  stepLr,
  warmupCosine,
} from "../optim/schedule.ts";
export { SGD, type SGDOptions } from "../optim/sgd.ts";
export { type AnswerAccuracy, answerAccuracy } from "../train/answers.ts";
export {
  type Checkpoint,
  loadCheckpoint,
  readCheckpoint,
  saveCheckpoint,
  type TrainingRecord,
  trainingOf,
} from "../train/checkpoint.ts";
export type { StepRecord } from "../train/history.ts";
export { bitsPerToken, perplexity } from "../train/metrics.ts";
export { type RunOptions, type RunSettings, TrainingRun } from "../train/run.ts";
export { Trainer, type TrainerOptions, type TrainerState, type TrainReport } from "../train/trainer.ts";
