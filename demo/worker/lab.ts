import type { Device } from "../../src/gpu/device.ts";
import { DeviceLostError, ValueError } from "../../src/gpu/errors.ts";
import { openDevice } from "../../src/gpu/open.ts";
import type {
  Calls,
  Catalogue,
  DeviceReport,
  Event,
  GenerateOptions,
  GenerateReport,
  LoadReport,
  Plan,
  RunPhase,
  RunReport,
  SeenLimits,
  Settings,
  TextId,
  TextReport,
} from "../protocol.ts";
import { failureOf } from "./failure.ts";
import { nextMilestone } from "./milestones.ts";
import { modelChoices } from "./models.ts";
import { deviceName } from "./name.ts";
import { patiently } from "./patiently.ts";
import { planRun } from "./plan.ts";
import { Run } from "./run.ts";
import { sizesFor } from "./sizes.ts";
import { Texts, textChoices } from "./texts.ts";
import { Turns } from "./turns.ts";

type Answers = { [K in keyof Calls]: (...input: Parameters<Calls[K]>) => Promise<ReturnType<Calls[K]>> };

/** A checkpoint is kept in memory at a milestone if the last is older than this. */
const KEEP_MS = 15_000;
/** A device that is lost more often than this in one visit will not hold. */
const LOSSES = 6;

/**
 * The device and the one run on it. Training goes on in a loop of short turns; everything else that needs the
 * model (an answer, a save) asks for a turn and ends the one in progress early.
 */
export class Lab implements Answers {
  private readonly emit: (event: Event) => void;
  private readonly turns = new Turns();
  private texts = new Texts("");
  private limits: SeenLimits | null = null;
  private device: Device | null = null;
  private run: Run | null = null;
  /** What the run should do; the loop looks at it between turns. */
  private goal: RunPhase = "stopped";
  private loop: Promise<void> = Promise.resolve();
  private interruption = new AbortController();
  /** Requests that wait for a turn; training stands back until they had it. */
  private urgent = 0;
  private answering = new AbortController();
  private kept: { readonly file: Uint8Array<ArrayBuffer>; readonly step: number; readonly at: number } | null = null;
  private losses = 0;

  constructor(emit: (event: Event) => void) {
    this.emit = emit;
  }

  async catalogue(base: string): Promise<Catalogue> {
    this.texts = new Texts(base);
    return { models: modelChoices, texts: textChoices };
  }

  async open(seen: SeenLimits): Promise<DeviceReport> {
    const device = await this.connect();
    const { maxStorageBufferBindingSize, maxBufferSize } = device.limits;
    this.limits = {
      maxStorageBufferBindingSize: Math.min(seen.maxStorageBufferBindingSize, maxStorageBufferBindingSize),
      maxBufferSize: Math.min(seen.maxBufferSize, maxBufferSize),
    };
    return { name: deviceName(device.info), software: device.software, sizes: sizesFor(device.software) };
  }

  readText(id: TextId, own?: string): Promise<TextReport> {
    return this.texts.load(id, own);
  }

  async plan(settings: Settings): Promise<Plan> {
    return planRun(settings, await this.texts.get(settings.text), this.needLimits());
  }

  async train(settings: Settings): Promise<RunReport> {
    const text = await this.texts.get(settings.text);
    const { obstacle } = planRun(settings, text, this.needLimits());
    if (obstacle) throw new ValueError(obstacle);
    await this.end("stopped");
    return this.turns.take(async () => {
      this.dropRun();
      this.run = Run.create(this.needDevice(), settings, text);
      this.begin(this.run);
      return this.run.report(this.texts);
    });
  }

  async pause(): Promise<null> {
    await this.end("paused");
    this.emit({ kind: "phase", phase: "paused" });
    return this.keep();
  }

  async resume(): Promise<RunReport> {
    const run = this.needRun();
    const text = await this.texts.get(run.settings.text);
    return this.turns.take(async () => {
      const { steps } = run.settings;
      if (run.step >= steps) await run.extend(run.step + steps);
      run.prepare(text);
      this.begin(run);
      return run.report(this.texts);
    });
  }

  async stop(): Promise<null> {
    await this.end("stopped");
    const run = this.needRun();
    await this.turns.take(() => this.milestone(run));
    this.emit({ kind: "phase", phase: "stopped" });
    return this.keep();
  }

  generate(options: GenerateOptions): Promise<GenerateReport> {
    const run = this.needRun();
    this.answering = new AbortController();
    const { signal } = this.answering;
    return this.interrupt(() => run.write(options, (text) => this.emit({ kind: "piece", text }), signal));
  }

  async stopGenerating(): Promise<null> {
    this.answering.abort();
    return null;
  }

  async save(): Promise<ArrayBuffer> {
    const run = this.needRun();
    return (await this.interrupt(() => run.checkpoint())).buffer;
  }

  async load(file: ArrayBuffer): Promise<LoadReport> {
    // Read and built before the present run is given up: a bad file must not cost it.
    const run = await this.interrupt(async () => Run.load(this.needDevice(), file));
    await this.end("stopped");
    return this.turns.take(async () => {
      this.dropRun();
      this.run = run;
      this.kept = { file: new Uint8Array(file), step: run.step, at: performance.now() };
      return { ...run.report(this.texts), history: run.story.history() };
    });
  }

  async keep(): Promise<null> {
    const { run } = this;
    if (run) await this.interrupt(() => this.keepCheckpoint(run));
    return null;
  }

  /** Opens a device and watches over it. */
  private async connect(): Promise<Device> {
    const device = await openDevice();
    this.device = device;
    void device.lost.then((error) => {
      if (error.reason !== "destroyed" && this.device === device) void this.recover();
    });
    return device;
  }

  private begin(run: Run): void {
    this.goal = "training";
    this.loop = this.work(run);
  }

  /** Ends the loop after the step in progress and waits for it. */
  private async end(goal: RunPhase): Promise<void> {
    this.goal = goal;
    this.interruption.abort();
    await this.loop;
  }

  /** Takes a turn now: a training turn in progress ends after its step. */
  private interrupt<T>(work: () => Promise<T>): Promise<T> {
    this.urgent++;
    this.interruption.abort();
    return this.turns.take(() => {
      this.urgent--;
      return work();
    });
  }

  /** Trains turn by turn until the goal changes or the run is complete. */
  private async work(run: Run): Promise<void> {
    try {
      while (this.goal === "training" && run.step < run.settings.steps) await this.turns.take(() => this.turn(run));
      if (this.goal !== "training") return;
      this.goal = "finished";
      await this.turns.take(() => this.keepCheckpoint(run));
      this.emit({ kind: "phase", phase: "finished" });
    } catch (error) {
      if (error instanceof DeviceLostError) return; // recover() has heard of it too
      this.goal = "stopped";
      this.emit({ kind: "phase", phase: "stopped" });
      this.emit({ kind: "failure", failure: failureOf(error) });
    }
  }

  /** Trains up to the next milestone, or until someone else asks for a turn. */
  private async turn(run: Run): Promise<void> {
    if (this.goal !== "training" || this.urgent > 0) return;
    this.interruption = new AbortController();
    const to = nextMilestone(run.step, run.settings.steps);
    await run.train(to - run.step, this.interruption.signal, (points) => this.emit({ kind: "progress", points }));
    if (run.step !== to) return;
    await this.milestone(run);
    if (!this.kept || performance.now() - this.kept.at > KEEP_MS) await this.keepCheckpoint(run);
  }

  private async milestone(run: Run): Promise<void> {
    const point = await run.evaluate();
    if (point) this.emit({ kind: "heldOut", point });
    this.emit({ kind: "sample", sample: await run.sample() });
  }

  private async keepCheckpoint(run: Run): Promise<void> {
    this.kept = { file: await run.checkpoint(), step: run.step, at: performance.now() };
  }

  private dropRun(): void {
    this.run?.dispose();
    this.run = null;
    this.kept = null;
  }

  /** After a loss: another device, the last checkpoint on it, and on with the training. */
  private async recover(): Promise<void> {
    const training = this.goal === "training";
    const settings = this.run?.settings;
    await this.loop;
    this.run = null;
    try {
      if (++this.losses > LOSSES) throw new ValueError("device: it was lost again and again; choose a smaller size");
      const device = await patiently(() => this.connect());
      if (!settings) {
        this.emit({
          kind: "restored",
          sentence: "The GPU was lost and is open again. Nothing was running.",
          step: null,
        });
        return;
      }
      const text = await this.texts.get(settings.text).catch(() => null);
      if (this.kept) this.run = Run.load(device, this.kept.file);
      else if (text) this.run = Run.create(device, settings, text);
      const { run } = this;
      if (!run) throw new ValueError("device: it was lost before a checkpoint was kept; train again");
      const step = run.step.toLocaleString("en");
      const goesOn = training && text ? "the run goes on from there" : "the run can be resumed from there";
      const sentence = `The GPU was lost and is open again. The checkpoint of step ${step} was kept, and ${goesOn}.`;
      this.emit({ kind: "restored", sentence, step: run.step });
      if (!training || !text) return;
      run.prepare(text);
      this.begin(run);
    } catch (error) {
      const { sentence } = failureOf(error);
      this.emit({
        kind: "failure",
        failure: {
          kind: "lost",
          sentence: `The GPU was lost and could not be opened again. ${sentence} Reload the page.`,
        },
      });
    }
  }

  private needDevice(): Device {
    if (!this.device) throw new ValueError("device: none is open yet; wait until the page names one");
    return this.device;
  }

  private needLimits(): SeenLimits {
    if (!this.limits) throw new ValueError("device: none is open yet; wait until the page names one");
    return this.limits;
  }

  private needRun(): Run {
    if (!this.run) throw new ValueError("run: there is no model yet; train one or load a checkpoint");
    return this.run;
  }
}
