import { batch } from "@preact/signals-core";
import type { EventHandlers, Settings, TrainingEvent } from "../protocol.ts";
import { newRun, type Run } from "../state.ts";
import { count } from "../ui/format.ts";
import type { Context } from "./context.ts";

const PREPARING = "The kernels compile, once; then the steps are fast.";
const UNDER_WAY = "Training goes on when this page is in the background.";

export interface TrainingActions {
  train(): Promise<void>;
  /** Starts a run of these settings, as part of a comparison if it has a name; null if that was refused. */
  begin(settings: Settings, comparison?: string): Promise<Run | null>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
  /** Keeps a checkpoint now: the page is about to be hidden. */
  keep(): void;
}

export function trainingActions({ state, client, attempt, calm }: Context): TrainingActions {
  async function begin(settings: Settings, comparison?: string): Promise<Run | null> {
    const before = state.phase.value;
    state.phase.value = "starting";
    calm(PREPARING);
    const report = await attempt(() => client.call("train", settings, comparison));
    if (!report) {
      if (state.phase.value === "starting") state.phase.value = before;
      return null;
    }
    const run = newRun(report);
    batch(() => {
      state.enter(run);
      state.phase.value = "training";
    });
    return run;
  }

  return {
    begin,
    async train() {
      const settings = state.settings.value;
      if (settings && state.canTrain.value) await begin(settings);
    },
    async pause() {
      await attempt(() => client.call("pause"));
    },
    async resume() {
      const report = await attempt(() => client.call("resume"));
      const run = state.current.value;
      if (!report || !run) return;
      batch(() => {
        run.settings.value = report.settings;
        state.phase.value = "training";
        calm(`The run goes on from step ${count(report.step)}.`);
      });
    },
    async stop() {
      await attempt(() => client.call("stop"));
    },
    keep() {
      if (state.phase.value === "training") void attempt(() => client.call("keep"));
    },
  };
}

export function trainingEvents({ state, calm, fail }: Context): EventHandlers<TrainingEvent> {
  return {
    progress({ points }) {
      const run = state.current.value;
      if (!run) return;
      batch(() => {
        run.curve.add(points);
        run.step.value = points.at(-1)?.step ?? run.step.value;
        state.growth.value++;
        if (state.status.value.sentence === PREPARING) calm(UNDER_WAY);
      });
    },
    heldOut({ point }) {
      state.current.value?.curve.addHeldOut(point);
      state.growth.value++;
    },
    sample({ sample }) {
      const run = state.current.value;
      if (run) run.samples.value = [...run.samples.value, sample];
    },
    phase({ phase }) {
      batch(() => {
        state.phase.value = phase;
        const sentence = phaseSentence(phase, state.current.value);
        const refusal = state.current.value?.refusal;
        // A short run is over before its visitor has read that it is not kept.
        if (sentence && refusal) fail({ kind: "refused", sentence: `${sentence} ${refusal}` });
        else if (sentence) calm(sentence);
      });
    },
  };
}

function phaseSentence(phase: string, run: Run | null): string | null {
  const at = `step ${count(run?.step.value ?? 0)}`;
  if (phase === "paused") return `Paused at ${at}. Nothing is lost; resume when you like, or talk to the model.`;
  if (phase === "stopped") return `Stopped at ${at}. The model is kept: talk to it, save it, or resume the run.`;
  if (phase === "finished")
    return `The run is complete at ${at}. Talk to the model, save it, or resume for as many steps again.`;
  return null;
}
