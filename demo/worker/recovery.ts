import { ValueError } from "../../src/gpu/errors.ts";
import { failureOf } from "./failure.ts";
import type { Lab } from "./lab.ts";
import { patiently } from "./patiently.ts";
import { Run } from "./run.ts";

/** A device that is lost more often than this in one visit will not hold. */
const LOSSES = 6;
let losses = 0;

/** After a loss: another device, the last checkpoint on it, and on with the training. */
export async function recover(lab: Lab): Promise<void> {
  const { training, emit } = lab;
  const wasTraining = training.goal === "training";
  const settings = lab.run?.settings;
  const mark = lab.run?.mark;
  const state = lab.run?.voice.kept ?? null;
  await training.ended();
  lab.run = null;
  lab.closeGuest();
  try {
    if (++losses > LOSSES) throw new ValueError("device: it was lost again and again; choose a smaller size");
    const device = await patiently(() => lab.connect());
    if (!settings) {
      emit({ kind: "restored", sentence: "The GPU was lost and is open again. Nothing was running.", step: null });
      return;
    }
    const text = await lab.texts.get(settings.text).catch(() => null);
    if (training.kept) lab.run = Run.load(device, training.kept.file, mark);
    else if (text) lab.run = Run.create(device, settings, text, mark);
    const { run } = lab;
    if (!run) throw new ValueError("device: it was lost before a checkpoint was kept; train again");
    run.voice.kept = state;
    const step = run.step.toLocaleString("en");
    const goesOn = wasTraining && text ? "the run goes on from there" : "the run can be resumed from there";
    const sentence = `The GPU was lost and is open again. The checkpoint of step ${step} was kept, and ${goesOn}.`;
    emit({ kind: "restored", sentence, step: run.step });
    if (!wasTraining || !text) return;
    run.prepare(text);
    training.begin(run);
  } catch (error) {
    const { sentence } = failureOf(error);
    const told = `The GPU was lost and could not be opened again. ${sentence} Reload the page.`;
    emit({ kind: "failure", failure: { kind: "lost", sentence: told } });
  }
}
