import { batch } from "@preact/signals-core";
import { type Client, Refusal, startWorker } from "./client.ts";
import { inPageWords, preflight } from "./preflight.ts";
import type { Event, Failure, GenerateOptions, Settings, Size, TextId } from "./protocol.ts";
import { newRun, type Run, type State } from "./state.ts";
import { count } from "./ui/format.ts";

const FIRST = { model: "lstm", options: {}, text: "moby-dick", seed: 1 } as const;

const PREPARING = "The kernels compile, once; then the steps are fast.";
const UNDER_WAY = "Training goes on when this page is in the background.";

/** What a visitor can do. Every failure ends as a sentence in `state.status`; nothing here rejects. */
export interface Actions {
  open(): Promise<void>;
  change(settings: Partial<Settings>): void;
  /** Another architecture of the same size, with the learning rate that suits it. */
  chooseModel(model: string): void;
  resize(stop: number): void;
  readText(id: TextId, own?: string): Promise<void>;
  /** Takes a text file as the text to learn. */
  offerText(file: File): Promise<void>;
  train(): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
  generate(options: GenerateOptions): Promise<void>;
  stopGenerating(): Promise<void>;
  save(): Promise<void>;
  load(file: File): Promise<void>;
  keep(): void;
}

/** @param onPiece takes the streamed text of an answer */
export function createActions(state: State, onPiece: (text: string) => void): Actions {
  const client: Client = startWorker((event) => onEvent(state, event, onPiece));
  const calm = (sentence: string) => (state.status.value = { tone: "calm", sentence });
  let plans = 0;

  /** Runs `work`; tells a failure in a sentence and returns null. */
  async function attempt<T>(work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      fail(state, error instanceof Refusal ? error.failure : { kind: "internal", sentence: sentenceOf(error) });
      return null;
    }
  }

  async function plan(): Promise<void> {
    const settings = state.settings.value;
    if (!settings || !state.text.value || state.device.value.phase !== "ready") return;
    const mine = ++plans;
    const found = await attempt(() => client.call("plan", settings));
    if (mine === plans) state.plan.value = found;
  }

  async function readText(id: TextId, own?: string): Promise<void> {
    if (id === "own" && !own?.trim()) {
      batch(() => {
        state.text.value = null;
        state.plan.value = null;
      });
      return;
    }
    const report = await attempt(() => client.call("readText", id, own));
    if (state.settings.value && state.settings.value.text !== id) return;
    state.text.value = report;
    if (!report) {
      state.plan.value = null;
      return;
    }
    if (state.device.value.phase === "ready" && state.status.value.tone === "trouble") calm("The text is ready.");
    await plan();
  }

  async function open(): Promise<void> {
    const catalogue = await attempt(() => client.call("catalogue", document.baseURI));
    if (catalogue) state.catalogue.value = catalogue;
    const reading = readText(FIRST.text);
    const limits = await preflight((failure) => fail(state, failure));
    if ("sentence" in limits) {
      fail(state, limits);
      return;
    }
    const report = await attempt(() => client.call("open", limits));
    if (!report) {
      if (state.device.value.phase === "opening")
        state.device.value = { phase: "missing", failure: { kind: "lost", sentence: state.status.value.sentence } };
      return;
    }
    batch(() => {
      state.device.value = { phase: "ready", report };
      const size = report.sizes[2];
      if (size) state.settings.value = { ...FIRST, ...size };
      calm(
        report.software
          ? "No GPU here: the processor computes, slowly, and the sizes are chosen for it. Press Train on this text."
          : "A text, a model and a size are chosen. Press Train on this text.",
      );
    });
    await reading;
    await plan();
  }

  function begin(run: Run): void {
    for (const older of state.runs.value) older.shown.value = older.shown.value && older === state.current.value;
    state.runs.value = [...state.runs.value, run];
  }

  return {
    open,
    readText,
    change(changed) {
      if (!state.settings.value) return;
      state.settings.value = { ...state.settings.value, ...changed };
      void plan();
    },
    chooseModel(model) {
      const settings = state.settings.value;
      if (!settings || model === settings.model) return;
      const factor = rateOf(state, model) / rateOf(state, settings.model);
      this.change({ model, options: {}, learningRate: Number((settings.learningRate * factor).toPrecision(3)) });
    },
    async offerText(file) {
      const text = await attempt(() => file.text());
      if (text === null || !state.settings.value) return;
      batch(() => {
        state.ownText.value = { text, from: file.name };
        state.settings.value = { ...(state.settings.value as Settings), text: "own" };
      });
      await readText("own", text);
      if (state.text.value) calm(`Took ${file.name} as the text. Press Train on this text.`);
    },
    resize(stop) {
      const { value } = state.device;
      const size: Size | undefined = value.phase === "ready" ? value.report.sizes[stop] : undefined;
      const settings = state.settings.value;
      if (!size || !settings) return;
      const learningRate = Number((size.learningRate * rateOf(state, settings.model)).toPrecision(3));
      this.change({ ...size, learningRate, options: {} });
    },
    async train() {
      const settings = state.settings.value;
      if (!settings || !state.canTrain.value) return;
      const before = state.phase.value;
      state.phase.value = "starting";
      calm(PREPARING);
      const report = await attempt(() => client.call("train", settings));
      if (report) {
        batch(() => {
          begin(newRun(report));
          state.phase.value = "training";
        });
      } else if (state.phase.value === "starting") state.phase.value = before;
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
    async generate(options) {
      state.talk.value = { ...state.talk.value, busy: true };
      const report = await attempt(() => client.call("generate", options));
      state.talk.value = { busy: false, report: report ?? state.talk.value.report };
      if (report && state.status.value.tone === "trouble") calm("The answer is complete.");
    },
    async stopGenerating() {
      await attempt(() => client.call("stopGenerating"));
    },
    async save() {
      const run = state.current.value;
      const file = await attempt(() => client.call("save"));
      if (!file || !run) return;
      const { model, text } = run.settings.value;
      const name = `ostinato-${model}-${text}-step-${run.step.value}.safetensors`;
      download(file, name);
      calm(`Saved ${name}: model, optimiser and place in the text.`);
    },
    async load(file) {
      const report = await attempt(async () => client.call("load", await file.arrayBuffer()));
      if (!report) return;
      batch(() => {
        begin(newRun(report, report.history));
        state.phase.value = "stopped";
        state.growth.value++;
        calm(
          report.resumable
            ? `Loaded ${file.name} at step ${count(report.step)}. Resume the run, or talk to the model.`
            : `Loaded ${file.name} at step ${count(report.step)}. Talk to the model; to resume the run, choose Your own and paste its text first.`,
        );
      });
    },
    keep() {
      if (state.phase.value === "training") void attempt(() => client.call("keep"));
    },
  };
}

function onEvent(state: State, event: Event, onPiece: (text: string) => void): void {
  const run = state.current.value;
  switch (event.kind) {
    case "progress":
      if (!run) return;
      batch(() => {
        run.curve.add(event.points);
        run.step.value = event.points.at(-1)?.step ?? run.step.value;
        state.growth.value++;
        if (state.status.value.sentence === PREPARING) state.status.value = { tone: "calm", sentence: UNDER_WAY };
      });
      return;
    case "heldOut":
      run?.curve.addHeldOut(event.point);
      state.growth.value++;
      return;
    case "sample":
      if (run) run.samples.value = [...run.samples.value, event.sample];
      return;
    case "piece":
      onPiece(event.text);
      return;
    case "phase":
      batch(() => {
        state.phase.value = event.phase;
        const sentence = phaseSentence(event.phase, run);
        if (sentence) state.status.value = { tone: "calm", sentence };
      });
      return;
    case "restored":
      batch(() => {
        if (run && event.step !== null) {
          run.curve.rewind(event.step);
          run.step.value = event.step;
        }
        state.growth.value++;
        state.status.value = { tone: "trouble", sentence: event.sentence };
      });
      return;
    case "failure":
      fail(state, event.failure);
      return;
  }
}

const rateOf = (state: State, model: string): number =>
  state.catalogue.value.models.find(({ id }) => id === model)?.rate ?? 1;

function phaseSentence(phase: string, run: Run | null): string | null {
  const at = `step ${count(run?.step.value ?? 0)}`;
  if (phase === "paused") return `Paused at ${at}. Nothing is lost; resume when you like, or talk to the model.`;
  if (phase === "stopped") return `Stopped at ${at}. The model is kept: talk to it, save it, or resume the run.`;
  if (phase === "finished")
    return `The run is complete at ${at}. Talk to the model, save it, or resume for as many steps again.`;
  return null;
}

/** Shows a failure; one that leaves no device also switches the page off. */
function fail(state: State, failure: Failure): void {
  const told = inPageWords(failure, navigator.gpu !== undefined);
  batch(() => {
    state.status.value = { tone: "trouble", sentence: told.sentence };
    if (told.kind === "unavailable" || told.kind === "lost") state.device.value = { phase: "missing", failure: told };
  });
}

const sentenceOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

function download(file: ArrayBuffer, name: string): void {
  const url = URL.createObjectURL(new Blob([file], { type: "application/octet-stream" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
