import { effect } from "@preact/signals-core";
import type { Actions } from "../actions.ts";
import type { State } from "../state.ts";
import { byId } from "./dom.ts";
import { count, duration } from "./format.ts";

/** The buttons of the run, its progress and the time left. */
export function mountTransport(state: State, actions: Actions): void {
  const train = byId("train", HTMLButtonElement);
  const stop = byId("stop", HTMLButtonElement);
  const save = byId("save", HTMLButtonElement);
  const load = byId("load", HTMLButtonElement);
  const file = byId("load-file", HTMLInputElement);
  const bar = byId("progress", HTMLProgressElement);
  const step = byId("progress-step");
  const left = byId("progress-left");
  const { phase } = state;

  train.addEventListener("click", () => {
    if (phase.value === "training") void actions.pause();
    else if (phase.value === "paused") void actions.resume();
    else void actions.train();
  });
  stop.addEventListener("click", () => {
    if (phase.value === "training" || phase.value === "paused") void actions.stop();
    else void actions.resume();
  });
  save.addEventListener("click", () => void actions.save());
  load.addEventListener("click", () => file.click());
  file.addEventListener("change", () => {
    if (file.files?.length) void actions.load([...file.files]);
    file.value = "";
  });

  effect(() => {
    const ready = state.device.value.phase === "ready";
    const active = phase.value === "training" || phase.value === "paused";
    train.textContent =
      phase.value === "training" ? "Pause" : phase.value === "paused" ? "Resume" : "Train on this text";
    train.disabled = !ready || phase.value === "starting" || !(active || state.canTrain.value);
    const over = phase.value === "stopped" || phase.value === "finished";
    stop.textContent = over ? "Resume" : "Stop";
    stop.disabled = !ready || !(active || (over && canResume(state)));
    save.disabled = !ready || !state.canTalk.value;
    load.disabled = !ready || phase.value === "starting";
  });

  effect(() => {
    const run = state.current.value;
    const total = run?.settings.value.steps ?? state.settings.value?.steps ?? 0;
    const done = run?.step.value ?? 0;
    step.textContent = run ? `Step ${count(done)} of ${count(total)}` : total ? `${count(total)} steps` : "";
    bar.value = total ? Math.min(1, done / total) : 0;
  });

  effect(() => {
    void state.growth.value;
    const run = state.current.value;
    const pace = run?.curve.pace;
    const going = phase.value === "training" && run && pace;
    left.textContent = going ? `${duration((run.settings.value.steps - run.step.value) / pace)} left` : "";
  });
}

/** A run can go on if the worker has its text: it came with the page, or the visitor gave it. */
function canResume(state: State): boolean {
  const run = state.current.value;
  return run !== null && (run.resumable || state.text.value?.id === "own");
}
