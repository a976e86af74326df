import { DeviceLostError, NonFiniteError } from "../../src/gpu/errors.ts";
import type { RunPhase } from "../protocol.ts";
import { failureOf } from "./failure.ts";
import type { Lab } from "./lab.ts";
import { nextMilestone } from "./milestones.ts";
import { Run } from "./run.ts";
import { notKeptSentence } from "./store.ts";

/** A checkpoint is kept in memory at a milestone if the last is older than this. */
const KEEP_MS = 15_000;

/**
 * The loop that trains the lab's run in short turns; everything else that needs the model (an answer, a save)
 * asks for a turn and ends the one in progress early.
 */
export class Training {
  private readonly lab: Lab;
  /** What the run should do; the loop looks at it between turns. */
  goal: RunPhase = "stopped";
  /** The latest checkpoint, for the case that the device is lost. */
  kept: { readonly file: Uint8Array<ArrayBuffer>; readonly step: number; readonly at: number } | null = null;
  /** The run of which the page knows that the storage refused it. */
  private refused = "";
  private loop: Promise<void> = Promise.resolve();

  constructor(lab: Lab) {
    this.lab = lab;
  }

  begin(run: Run): void {
    this.goal = "training";
    this.loop = this.work(run);
  }

  /** Ends the loop after the step in progress and waits for it. */
  async end(goal: RunPhase): Promise<void> {
    this.goal = goal;
    this.lab.turns.hurry();
    await this.loop;
  }

  /** Waits until the loop has ended by itself, as it does when the device is lost. */
  ended(): Promise<void> {
    return this.loop;
  }

  /** Evaluates and samples. A model whose numbers are not finite has nothing to say; training soon ends and tells why. */
  async milestone(run: Run): Promise<void> {
    // A run that is stopped at a milestone has just said it all.
    if (!run.healthy || run.story.samples.at(-1)?.step === run.step) return;
    const point = await run.evaluate();
    if (point) this.lab.emit({ kind: "heldOut", point });
    if (run.healthy) this.lab.emit({ kind: "sample", sample: await run.sample() });
  }

  /**
   * Keeps a checkpoint in memory and in the browser's storage, which may refuse. One whose numbers are not finite must not
   * take the place of one that is sound.
   */
  async keep(run: Run): Promise<void> {
    if (!run.healthy) return;
    const file = await run.checkpoint();
    this.kept = { file, step: run.step, at: performance.now() };
    const { store, texts, emit } = this.lab;
    const { id } = run.mark;
    try {
      await store.put(run.told(texts), file, { text: await texts.own(run.settings.text), state: run.voice.kept });
      emit({ kind: "kept", id, step: run.step });
      this.refused = "";
    } catch (error) {
      if (this.refused === id) return;
      this.refused = id;
      emit({ kind: "notKept", id, sentence: notKeptSentence(error) });
    }
  }

  /** Keeps the lab's run unless nothing happened since that was last done. */
  async keepLatest(): Promise<void> {
    const { run } = this.lab;
    if (run && run.step !== this.kept?.step) await this.keep(run);
  }

  /** Trains turn by turn until the goal changes or the run is complete. */
  private async work(run: Run): Promise<void> {
    const { turns, emit } = this.lab;
    try {
      while (this.goal === "training" && run.step < run.settings.steps)
        await turns.yielding((signal) => this.turn(run, signal));
      if (this.goal !== "training") return;
      this.goal = "finished";
      await turns.take(() => this.keep(run));
      emit({ kind: "phase", phase: "finished" });
    } catch (error) {
      if (error instanceof DeviceLostError) return; // recover() has heard of it too
      this.goal = "stopped";
      emit({ kind: "phase", phase: "stopped" });
      emit({ kind: "failure", failure: failureOf(error) });
      if (error instanceof NonFiniteError) await turns.take(async () => this.goBack(run, error));
    }
  }

  /** Gives a run that can learn no more back what it had learned when it was last kept. */
  private goBack(run: Run, error: NonFiniteError): void {
    const { lab, kept } = this;
    if (!kept || lab.run !== run) return;
    lab.run = Run.load(lab.needDevice(), kept.file, run.mark);
    lab.run.voice.kept = run.voice.kept;
    run.dispose();
    const { sentence } = failureOf(error);
    const again = `The run stands again where it was at step ${kept.step.toLocaleString("en")}.`;
    lab.emit({ kind: "restored", sentence: `${sentence} ${again}`, step: kept.step });
  }

  /** Trains up to the next milestone, or until someone else asks for a turn. */
  private async turn(run: Run, signal: AbortSignal): Promise<void> {
    if (this.goal !== "training") return;
    const to = nextMilestone(run.step, run.settings.steps);
    await run.train(to - run.step, signal, (points) => this.lab.emit({ kind: "progress", points }));
    if (run.step !== to) return;
    await this.milestone(run);
    if (!this.kept || performance.now() - this.kept.at > KEEP_MS) await this.keep(run);
  }
}
