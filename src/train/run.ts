import { FileError, ValueError } from "../gpu/errors.ts";
import type { LanguageModel } from "../models/language.ts";
import { modelKind } from "../models/registry.ts";
import { AdamW } from "../optim/adam.ts";
import { warmupCosine } from "../optim/schedule.ts";
import { streamBatches } from "../text/batches.ts";
import { type Corpus, splitIds } from "../text/corpus.ts";
import type { Encoded } from "../text/source.ts";
import { saveCheckpoint, type TrainingRecord } from "./checkpoint.ts";
import { Trainer, type TrainReport } from "./trainer.ts";

/** How a run trains; what is left out takes its default. */
export interface RunSettings {
  /** Texts read side by side; default 16. */
  readonly batchSize?: number;
  /** Tokens of a training sequence; default 64. */
  readonly seqLength?: number;
  /** Highest learning rate; default 0.003. */
  readonly lr?: number;
  /** Steps of the whole run, over which the learning rate falls to a tenth; default 1000. */
  readonly steps?: number;
  /** Gradients are scaled down to this norm; default 1. */
  readonly maxNorm?: number;
  /** Part of the text held out for `evaluate`, from 0 (none) to below 1; default 0.1. */
  readonly validation?: number;
}

/** Options of a `TrainingRun`. */
export interface RunOptions extends RunSettings {
  /** Continue the run that a checkpoint holds; its settings fill in for those left out. The text must be the same. */
  readonly resume?: TrainingRecord | null;
  readonly onReport?: (report: TrainReport) => void;
}

const DEFAULTS: Required<RunSettings> = {
  batchSize: 16,
  seqLength: 64,
  lr: 3e-3,
  steps: 1000,
  maxNorm: 1,
  validation: 0.1,
};
/** Steps at the start over which the learning rate rises, at most a tenth of the run. */
const WARMUP = 50;

/**
 * The usual way to train a language model on a text: AdamW under a cosine schedule, gradients clipped, the state
 * carried from batch to batch where the kind allows it. For anything else put a `Trainer` together yourself.
 *
 * @example
 * const text = await encodeSource(file.stream());
 * const model = createModel(device, modelKind("lstm").sized({ vocabSize: text.tokenizer.vocabSize, width: 256, numLayers: 1 }));
 * const run = new TrainingRun(model, text);
 * await run.train();
 * const checkpoint = await run.save();
 */
export class TrainingRun {
  readonly model: LanguageModel;
  readonly corpus: Corpus;
  readonly settings: Required<RunSettings>;
  readonly trainer: Trainer;
  private readonly optimizer: AdamW;

  /**
   * @param text split by `validation`, or a corpus that is split already, such as `taskCorpus` makes
   * @throws ValueError if a setting is out of range, the text is too short, or it is not that of the resumed run
   */
  constructor(model: LanguageModel, text: Encoded | Corpus, { resume, onReport, ...given }: RunOptions = {}) {
    this.model = model;
    this.settings = complete({ ...(resume && settingsOf(resume)), ...defined(given) });
    const { batchSize, seqLength, lr, steps, maxNorm } = this.settings;
    this.corpus = "train" in text ? text : { tokenizer: text.tokenizer, ...splitIds(text.ids, this.settings) };
    const { train, validation } = this.corpus;
    const batches = streamBatches(train, { batchSize, seqLength });
    this.optimizer = new AdamW(model.parameters(), { lr, maxNorm });
    this.trainer = new Trainer({
      model,
      optimizer: this.optimizer,
      batches,
      schedule: warmupCosine({
        peak: lr,
        floor: lr / 10,
        warmup: Math.min(WARMUP, Math.floor(steps / 10)),
        total: steps,
      }),
      carryState: modelKind(model.config.kind).recurrent,
      ...(validation.length > 0 && { validation }),
      ...(onReport && { onReport }),
    });
    if (!resume) return;
    try {
      this.trainer.restore(resume.state);
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /** Steps done. */
  get step(): number {
    return this.trainer.step;
  }

  /**
   * Trains for `steps` more, by default to the end of the run; ends early when `signal` aborts.
   * @throws NonFiniteError if the run has diverged
   */
  train(steps: number = Math.max(0, this.settings.steps - this.step), signal?: AbortSignal): Promise<void> {
    return this.trainer.run(steps, signal);
  }

  /** Mean loss on held-out text, in nats a token, or null where nothing is held out. */
  async evaluate(): Promise<number | null> {
    return this.trainer.options.validation ? this.trainer.evaluate() : null;
  }

  /** A checkpoint from which the run continues bit for bit, and PyTorch loads the weights. */
  async save(): Promise<Uint8Array<ArrayBuffer>> {
    const { schedule } = this.trainer.options;
    const record = {
      state: await this.trainer.state(),
      schedule: schedule.description,
      settings: { run: this.settings },
    };
    return saveCheckpoint(this.model, this.corpus.tokenizer, record);
  }

  /** Gives back what training needs; the model stays. */
  dispose(): void {
    this.trainer.dispose();
    this.optimizer.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** The settings without those that are undefined, which would hide a default. */
function defined(settings: RunSettings): RunSettings {
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

function complete(given: RunSettings): Required<RunSettings> {
  const settings = { ...DEFAULTS, ...given };
  for (const [name, value] of Object.entries(settings)) {
    if (name === "validation") continue;
    const whole = name !== "lr" && name !== "maxNorm";
    if (!(value > 0 && Number.isFinite(value) && (!whole || Number.isInteger(value))))
      throw new ValueError(`TrainingRun: ${name} is ${value}; use a ${whole ? "whole " : ""}number above 0`);
  }
  return settings;
}

/** @throws FileError if the checkpoint is of something else than a TrainingRun */
function settingsOf({ settings }: TrainingRecord): RunSettings {
  const run = (settings as { run?: unknown } | null)?.run;
  const known = Object.keys(DEFAULTS) as (keyof RunSettings)[];
  if (typeof run === "object" && run !== null && known.every((name) => typeof (run as RunSettings)[name] === "number"))
    return Object.fromEntries(known.map((name) => [name, (run as RunSettings)[name]]));
  throw new FileError(
    "no-run",
    "TrainingRun: the checkpoint was saved by another program and holds no settings; train its model without resume",
  );
}
