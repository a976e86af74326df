import { backward } from "../autograd/backward.ts";
import { noGrad } from "../autograd/mode.ts";
import type { Device } from "../gpu/device.ts";
import { DisposedError, NonFiniteError, ValueError } from "../gpu/errors.ts";
import type { Plan } from "../gpu/plan.ts";
import type { LanguageModel } from "../models/language.ts";
import type { ModelState } from "../models/state.ts";
import type { HostTensor } from "../nn/module.ts";
import { add } from "../ops/binary.ts";
import { crossEntropy } from "../ops/crossEntropy.ts";
import { reshape } from "../ops/reshape.ts";
import { affine } from "../ops/unary.ts";
import type { Optimizer, OptimizerState } from "../optim/optimizer.ts";
import type { Schedule } from "../optim/schedule.ts";
import { capture } from "../tensor/capture.ts";
import { empty } from "../tensor/create.ts";
import { type GeneratorState, generatorsOf } from "../tensor/generator.ts";
import { keep, scope } from "../tensor/scope.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Batches, type BatchState, streamBatches } from "../text/batches.ts";
import { firstNonFinite } from "./diagnose.ts";
import { HISTORY_CAPACITY, History, type StepRecord } from "./history.ts";

/** What a `Trainer` trains, on what, and how. */
export interface TrainerOptions {
  readonly model: LanguageModel;
  readonly optimizer: Optimizer;
  readonly batches: Batches;
  readonly schedule: Schedule;
  /** Batches whose gradients are averaged into one step; default 1. */
  readonly accumulate?: number;
  /** Carry the model's state from batch to batch (truncated backpropagation through time); needs `streamBatches`. */
  readonly carryState?: boolean;
  /** Held-out token ids, for `evaluate`. */
  readonly validation?: Int32Array<ArrayBuffer>;
  /** Called about every `reportEveryMs` with what happened since. */
  readonly onReport?: (report: TrainReport) => void;
  /** Default 250. */
  readonly reportEveryMs?: number;
  /** False: record every step anew instead of replaying a captured one; slower, for debugging. */
  readonly captured?: boolean;
}

/** What happened since the last report. */
export interface TrainReport {
  /** Optimizer steps done so far. */
  readonly step: number;
  /** Steps since the last report, oldest first; the last of them is step number `step`. */
  readonly records: readonly StepRecord[];
  /** Learning rate of the last step. */
  readonly lr: number;
  readonly tokensPerSecond: number;
}

/** Everything that a resumed run needs to continue bit for bit, on the host. */
export interface TrainerState {
  readonly step: number;
  readonly batches: BatchState;
  readonly optimizer: OptimizerState;
  readonly generators: readonly GeneratorState[];
  readonly carried: ReadonlyMap<string, HostTensor>;
}

/** Submits in flight: the next step is recorded while the device works, but not more. */
const IN_FLIGHT = 2;
/** Skipped steps in a row after which a run is hopeless. */
const MAX_SKIPPED = 10;

/**
 * Trains any language model on any batches. A step (forward, backward, clipping, update) is captured once and
 * replayed as one submit; nothing is read back inside it. Knows nothing of pages: progress goes out through
 * one callback.
 */
export class Trainer {
  readonly options: TrainerOptions;
  private readonly device: Device;
  private readonly history: History;
  private readonly inputs: readonly Tensor<"i32">[];
  private readonly targets: readonly Tensor<"i32">[];
  private readonly carried: ModelState | null;
  private plan: Plan<unknown> | null = null;
  private evaluation: Plan<Tensor> | null = null;
  private done = 0;
  private skippedInRow = 0;
  private running = false;
  private disposed = false;

  constructor(options: TrainerOptions) {
    const { model, batches, accumulate = 1, carryState = false } = options;
    if (!(Number.isInteger(accumulate) && accumulate >= 1))
      throw new ValueError(`Trainer: accumulate is ${accumulate}; use a whole number of 1 or more`);
    if (carryState && batches.state().kind !== "stream")
      throw new ValueError("Trainer: carryState needs batches that continue each other; use streamBatches");
    this.options = options;
    this.device = model.device;
    const shape = [batches.batchSize, batches.seqLength];
    const place = () => keep(empty(this.device, shape, "i32"));
    this.inputs = Array.from({ length: accumulate }, place);
    this.targets = Array.from({ length: accumulate }, place);
    this.carried = carryState ? model.initialState(batches.batchSize) : null;
    this.history = new History(this.device);
  }

  /** Optimizer steps done. */
  get step(): number {
    return this.done;
  }

  /** Kernel launches of one step; 0 before the first. */
  get dispatchesPerStep(): number {
    return this.plan?.dispatches ?? 0;
  }

  /**
   * Trains for `steps` more steps, or until `signal` aborts, which ends it after the step in progress.
   * @throws NonFiniteError after ten skipped steps in a row; parameters are those of the last good step
   */
  async run(steps: number, signal?: AbortSignal): Promise<void> {
    if (this.disposed) throw new DisposedError("run: the trainer was disposed; make another");
    if (this.running) throw new ValueError("run: the trainer is already running; await the first run or abort it");
    this.running = true;
    try {
      this.options.model.train();
      this.advanceGenerators();
      if (this.options.captured === false) {
        await this.loop(steps, () => scope(() => this.record()), signal);
      } else {
        this.plan ??= await capture(this.device, () => this.record());
        const plan = this.plan;
        await this.loop(steps, () => plan.replay(), signal);
      }
    } finally {
      this.running = false;
    }
  }

  /**
   * Mean cross-entropy over the first windows of the held-out text, without dropout, in nats a token.
   * @param batches windows of the training shape, at most; default 4
   */
  async evaluate(batches = 4): Promise<number> {
    const { model, validation } = this.options;
    if (!validation) throw new ValueError("evaluate: the trainer has no held-out text; pass validation");
    const shape = { batchSize: this.options.batches.batchSize, seqLength: this.options.batches.seqLength };
    const windows = streamBatches(validation, shape);
    const [inputs, targets] = [this.inputs[0], this.targets[0]] as [Tensor<"i32">, Tensor<"i32">];
    model.eval();
    try {
      this.evaluation ??= await capture(this.device, () => noGrad(() => lossOf(model.forward(inputs).logits, targets)));
    } finally {
      model.train();
    }
    const count = Math.min(batches, windows.perPass);
    const losses: Promise<number>[] = [];
    for (let i = 0; i < count; i++) {
      const batch = windows.next();
      inputs.write(batch.inputs);
      targets.write(batch.targets);
      this.evaluation.replay();
      losses.push(this.evaluation.outputs.item());
      // The next replay overwrites the loss, so each read must be recorded first.
      await losses.at(-1);
    }
    const values = await Promise.all(losses);
    return values.reduce((sum, loss) => sum + loss, 0) / count;
  }

  /** Optimizer, data position, carried state and random state, read from the device. */
  async state(): Promise<TrainerState> {
    return {
      step: this.done,
      batches: this.options.batches.state(),
      optimizer: await this.options.optimizer.state(),
      generators: await Promise.all(generatorsOf(this.device).map((generator) => generator.state())),
      carried: (await this.carried?.data()) ?? new Map(),
    };
  }

  /** Continues where `state` was taken. Load the model's parameters as well. */
  restore(state: TrainerState): void {
    this.options.optimizer.restore(state.optimizer);
    this.options.batches.restore(state.batches);
    this.carried?.restore(state.carried);
    generatorsOf(this.device).forEach((generator, i) => {
      const saved = state.generators[i];
      if (saved) generator.restore(saved);
    });
    this.done = state.step;
    this.skippedInRow = 0;
  }

  /** Gives back the memory of the captured step; the model and the optimizer stay. */
  dispose(): void {
    if (this.disposed) return;
    this.disposed = true;
    this.plan?.dispose();
    this.evaluation?.outputs.dispose();
    this.evaluation?.dispose();
    this.history.dispose();
    this.carried?.dispose();
    for (const one of [...this.inputs, ...this.targets]) one.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** The step, as it is captured. */
  private record(): null {
    const { model, optimizer } = this.options;
    optimizer.zeroGrad();
    const share = 1 / this.inputs.length;
    let total: Tensor<"f32"> | null = null;
    this.inputs.forEach((inputs, i) => {
      const { logits, state } = model.forward(inputs, this.carried ?? undefined);
      const loss = lossOf(logits, this.targets[i] as Tensor<"i32">);
      const part = share === 1 ? loss : affine(loss, share);
      backward(part);
      total = total ? add(total, part) : part;
      this.carried?.assign(state);
    });
    optimizer.step();
    this.history.append(total as unknown as Tensor<"f32">, optimizer);
    this.advanceGenerators();
    return null;
  }

  /** Gives the next step new random numbers, where this one drew any. */
  private advanceGenerators(): void {
    for (const generator of generatorsOf(this.device)) if (generator.calls > 0) generator.advance();
  }

  private async loop(steps: number, runStep: () => void, signal: AbortSignal | undefined): Promise<void> {
    const { optimizer, schedule, batches, reportEveryMs = 250 } = this.options;
    const inFlight: Promise<void>[] = [];
    let reported = performance.now();
    let unreported = 0;
    for (let left = steps; left > 0 && !signal?.aborted; left--) {
      optimizer.setLr(schedule(this.done));
      this.inputs.forEach((inputs, i) => {
        const batch = batches.next();
        if (batch.reset) this.carried?.reset();
        inputs.write(batch.inputs);
        (this.targets[i] as Tensor<"i32">).write(batch.targets);
      });
      runStep();
      this.done++;
      unreported++;
      const synced = this.device.sync();
      // When the device is lost the first of them tells; nobody awaits the others.
      synced.catch(() => {});
      inFlight.push(synced);
      if (inFlight.length >= IN_FLIGHT) await inFlight.shift();
      if (performance.now() - reported >= reportEveryMs || unreported === HISTORY_CAPACITY) {
        await this.report(reported, unreported);
        reported = performance.now();
        unreported = 0;
      }
    }
    await Promise.all(inFlight);
    if (unreported > 0) await this.report(reported, unreported);
  }

  private async report(since: number, steps: number): Promise<void> {
    const { batches, optimizer, onReport } = this.options;
    const records = await this.history.take();
    const tokens = steps * this.inputs.length * batches.batchSize * batches.seqLength;
    const tokensPerSecond = (1000 * tokens) / (performance.now() - since);
    onReport?.({ step: this.done, records, lr: optimizer.lr, tokensPerSecond });
    for (const { skipped } of records) this.skippedInRow = skipped ? this.skippedInRow + 1 : 0;
    if (this.skippedInRow >= MAX_SKIPPED) {
      const first = await this.diagnose();
      throw new NonFiniteError(
        `run: the last ${this.skippedInRow} steps up to step ${this.done} had gradients that are not finite and were skipped${first && `; the first tensor that is not finite in step ${this.done} is ${first}`}; lower the learning rate or load an earlier checkpoint`,
      );
    }
  }

  /** What was first not finite in the last batch; empty if that cannot be told. */
  private async diagnose(): Promise<string> {
    const { model, optimizer } = this.options;
    const [inputs, targets] = [this.inputs.at(-1), this.targets.at(-1)] as [Tensor<"i32">, Tensor<"i32">];
    optimizer.zeroGrad();
    const loss = () => lossOf(model.forward(inputs, this.carried ?? undefined).logits, targets);
    const first = await firstNonFinite(model, loss, this.carried);
    optimizer.zeroGrad();
    return first ?? "";
  }
}

function lossOf(logits: Tensor<"f32">, targets: Tensor<"i32">): Tensor<"f32"> {
  const classes = logits.shape.at(-1) as number;
  return crossEntropy(reshape(logits, [-1, classes]), reshape(targets, [-1]));
}
