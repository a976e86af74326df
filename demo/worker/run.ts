import type { Device } from "../../src/gpu/device.ts";
import { modelOf } from "../../src/models/openOwn.ts";
import { createModel, modelKind } from "../../src/models/registry.ts";
import { AdamW } from "../../src/optim/adam.ts";
import { constantLr, linearWarmupDecay, type Schedule, warmupCosine } from "../../src/optim/schedule.ts";
import { Random } from "../../src/tensor/philox.ts";
import { streamBatches } from "../../src/text/batches.ts";
import { splitIds } from "../../src/text/corpus.ts";
import type { TaskExample } from "../../src/text/tasks.ts";
import { answerAccuracy } from "../../src/train/answers.ts";
import { readCheckpoint, saveCheckpoint } from "../../src/train/checkpoint.ts";
import { Trainer, type TrainerState, type TrainReport } from "../../src/train/trainer.ts";
import type {
  CostPoint,
  GenerateOptions,
  HeldOutPoint,
  LoadReport,
  Point,
  RunReport,
  Sample,
  Settings,
} from "../protocol.ts";
import { configOf } from "./models.ts";
import { checkSaved, type Saved } from "./saved.ts";
import { Story } from "./story.ts";
import type { ReadText, Texts } from "./texts.ts";
import { Voice } from "./voice.ts";

const SAMPLE: Omit<GenerateOptions, "prompt" | "seed"> = {
  length: 160,
  temperature: 0.7,
  topK: 0,
  topP: 1,
  minP: 0,
  repetitionPenalty: 1,
};

/** Characters at the end of the text after which samples begin: a state that never was writes noise at first. */
const LEAD = 64;

/** Steps at the start over which the learning rate rises. */
const WARMUP = 20;
/** Held-out windows of one evaluation. */
const WINDOWS = 4;
/** Held-out questions of one evaluation. */
const QUESTIONS = 100;

/** What a run is called, and what was measured of it beside its training; outlives the model on the device. */
export interface Mark {
  readonly id: string;
  readonly comparison: string | null;
  name: string | null;
  cost: readonly CostPoint[];
}

export const newMark = (comparison: string | null = null): Mark => {
  return { id: crypto.randomUUID(), comparison, name: null, cost: [] };
};

/** A model in training: model, optimiser, text and story. One at a time lives on the device. */
export class Run {
  readonly mark: Mark;
  readonly voice: Voice;
  readonly story: Story;
  settings: Settings;
  /** Whether the last step was taken, and its numbers were finite. */
  healthy = true;
  private readonly device: Device;
  private training: { readonly trainer: Trainer; readonly optimizer: AdamW } | null = null;
  /** Where a loaded run stands until it trains on. */
  private waiting: TrainerState | null = null;
  /** Of a task: what the model is asked at each evaluation. */
  private questions: readonly TaskExample[] = [];
  /** What a sample goes on from; nothing for tasks, whose every line begins anew. */
  private lead = "";
  private onPoints: (points: readonly Point[]) => void = () => {};

  private constructor(device: Device, mark: Mark, settings: Settings, voice: Voice, story: Story) {
    this.device = device;
    this.mark = mark;
    this.settings = settings;
    this.voice = voice;
    this.story = story;
  }

  /** A new run at step 0. */
  static create(device: Device, settings: Settings, text: ReadText, mark = newMark()): Run {
    const { tokenizer } = text;
    const random = new Random(settings.seed);
    const model = createModel(device, configOf(settings, tokenizer.vocabSize), { random });
    const run = new Run(device, mark, settings, new Voice(model, tokenizer), new Story());
    try {
      run.prepare(text);
      return run;
    } catch (error) {
      run.dispose();
      throw error;
    }
  }

  /** The run of a checkpoint. @throws FileError if the file is no checkpoint of a run of this page */
  static load(device: Device, file: ArrayBuffer | Uint8Array<ArrayBuffer>, mark = newMark()): Run {
    const checkpoint = readCheckpoint(file);
    const { settings, history } = checkSaved(checkpoint.training?.settings);
    const model = modelOf(device, checkpoint);
    try {
      const run = new Run(device, mark, settings, new Voice(model, checkpoint.tokenizer), Story.from(history));
      run.waiting = checkpoint.training?.state ?? null;
      return run;
    } catch (error) {
      model.dispose();
      throw error;
    }
  }

  get step(): number {
    return this.training?.trainer.step ?? this.waiting?.step ?? 0;
  }

  /** Kernel launches of a step; 0 before the first. */
  get dispatchesPerStep(): number {
    return this.training?.trainer.dispatchesPerStep ?? 0;
  }

  report(texts: Texts): RunReport {
    return {
      ...this.mark,
      settings: this.settings,
      step: this.step,
      parameters: this.voice.model.parameterCount,
      stateBytes: this.voice.memory.stateBytes,
      keptState: this.voice.keptState,
      resumable: texts.has(this.settings.text),
    };
  }

  /** The run with its curves and samples. */
  told(texts: Texts): LoadReport {
    return { ...this.report(texts), history: this.story.history() };
  }

  /** Makes the run ready to train on its text; a loaded run continues where it was saved. */
  prepare(text: ReadText): void {
    if (this.training) return;
    const { batch, sequence, learningRate, clip } = this.settings;
    const shape = { batchSize: batch, seqLength: sequence };
    const ids = text.tokenizer === this.voice.tokenizer ? text.ids : this.voice.tokenizer.encode(text.text);
    const { train, validation } = text.task ?? splitIds(ids, shape);
    this.questions = text.task?.heldOut.slice(0, QUESTIONS) ?? [];
    // One more is taken, because the first may be half a character.
    this.lead = text.task
      ? ""
      : Array.from(text.text.slice(-LEAD - 1))
          .slice(1)
          .join("");
    const batches = streamBatches(train, shape);
    const optimizer = new AdamW(this.voice.model.parameters(), { lr: learningRate, maxNorm: clip });
    const trainer = new Trainer({
      model: this.voice.model,
      optimizer,
      batches,
      schedule: scheduleOf(this.settings),
      carryState: modelKind(this.voice.model.config.kind).recurrent,
      validation,
      reportEveryMs: 200,
      onReport: (report) => this.took(report),
    });
    this.training = { trainer, optimizer };
    if (!this.waiting) return;
    try {
      trainer.restore(this.waiting);
      this.waiting = null;
    } catch (error) {
      this.endTraining();
      throw error;
    }
  }

  /** Gives the run `steps` in all, with a schedule over them. */
  async extend(steps: number): Promise<void> {
    this.waiting = (await this.training?.trainer.state()) ?? this.waiting;
    this.endTraining();
    this.settings = { ...this.settings, steps };
  }

  /** Trains for `steps` more, or until `signal` aborts. */
  async train(steps: number, signal: AbortSignal, onPoints: (points: readonly Point[]) => void): Promise<void> {
    this.onPoints = onPoints;
    await this.training?.trainer.run(steps, signal);
  }

  /** Loss on the held-out part of the text; null if it is not finite. */
  async evaluate(): Promise<HeldOutPoint | null> {
    if (!this.training) return null;
    const loss = await this.training.trainer.evaluate(WINDOWS);
    this.healthy = Number.isFinite(loss);
    if (!this.healthy) return null;
    const { model, tokenizer } = this.voice;
    const { answers } =
      this.questions.length > 0 ? await answerAccuracy(model, tokenizer, this.questions) : { answers: null };
    const point = { ...this.story.now, loss, ...(answers !== null && { accuracy: answers }) };
    this.story.curve.addHeldOut(point);
    return point;
  }

  /** A few lines of what the model writes now. */
  async sample(): Promise<Sample> {
    const text = await this.voice.sample({ ...SAMPLE, prompt: this.lead, seed: this.step });
    const { step, loss } = this.story.curve.last ?? { step: this.step, loss: Number.NaN };
    const sample = { step, loss, text: text.trim() };
    this.story.samples.push(sample);
    return sample;
  }

  /** The run as a file, from which it goes on bit for bit. */
  async checkpoint(): Promise<Uint8Array<ArrayBuffer>> {
    const state = (await this.training?.trainer.state()) ?? this.waiting;
    const settings: Saved = { settings: this.settings, history: this.story.history() };
    const record = state && { state, schedule: scheduleOf(this.settings).description, settings };
    return saveCheckpoint(this.voice.model, this.voice.tokenizer, record ?? undefined);
  }

  dispose(): void {
    this.endTraining();
    this.voice.dispose();
  }

  private endTraining(): void {
    this.training?.trainer.dispose();
    this.training?.optimizer.dispose();
    this.training = null;
  }

  /** Turns a report of the trainer into points on every axis. */
  private took({ step, records, tokensPerSecond }: TrainReport): void {
    const { batch, sequence } = this.settings;
    const schedule = scheduleOf(this.settings);
    const each = (batch * sequence) / tokensPerSecond;
    const from = this.story.seconds;
    const memoryBytes = this.device.stats.memory.live;
    this.healthy = records.at(-1)?.skipped !== true;
    const points = records
      .map(({ loss, gradNorm }, i): Point => {
        const at = step - records.length + 1 + i;
        const learningRate = schedule(at - 1);
        const seconds = from + (i + 1) * each;
        return {
          step: at,
          tokens: at * batch * sequence,
          seconds,
          loss,
          gradNorm,
          learningRate,
          tokensPerSecond,
          memoryBytes,
        };
      })
      .filter(({ loss, gradNorm }) => Number.isFinite(loss) && Number.isFinite(gradNorm));
    this.story.add(points);
    this.onPoints(points);
  }
}

function scheduleOf({ schedule, learningRate, steps }: Settings): Schedule {
  const warmup = Math.min(WARMUP, Math.floor(steps / 10));
  if (schedule === "cosine")
    return warmupCosine({ peak: learningRate, floor: learningRate / 10, warmup, total: steps });
  if (schedule === "linear") return linearWarmupDecay({ peak: learningRate, warmup, total: steps });
  return constantLr(learningRate);
}
