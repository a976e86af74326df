import { DeviceLostError, ValueError } from "../../src/gpu/errors.ts";
import { failureOf } from "./failure.ts";
import type { Guest } from "./guest.ts";
import type { Lab } from "./lab.ts";
import { patiently } from "./patiently.ts";
import { Run } from "./run.ts";

/** A device that is lost more often than this in one visit will not hold. */
const LOSSES = 6;
let losses = 0;

/** After a loss: another device, the last checkpoint on it, on with the training, and the opened model once more. */
export async function recover(lab: Lab): Promise<void> {
  const { training, turns, emit } = lab;
  const wasTraining = training.goal === "training";
  await training.ended();
  // Whoever asks for the model meanwhile waits until it is there again.
  await turns.take(async () => {
    const { guest } = lab;
    try {
      if (++losses > LOSSES) throw new ValueError("device: it was lost again and again; choose a smaller size");
      await patiently(() => lab.connect());
      const found = await findRun(lab, wasTraining);
      const nothing = found || guest ? "" : " Nothing was running.";
      const sentence = `The GPU was lost and is open again.${found?.sentence ?? nothing}`;
      const reading = guest ? " The opened model is read again." : "";
      emit({ kind: "restored", sentence: sentence + reading, step: found?.step ?? null });
      found?.goOn();
      if (guest) void reopen(lab, guest);
    } catch (error) {
      if (error instanceof DeviceLostError) return; // lost again meanwhile, and another recovery waits its turn
      const { sentence } = failureOf(error);
      const told = `The GPU was lost and could not be opened again. ${sentence} Reload the page.`;
      emit({ kind: "failure", failure: { kind: "lost", sentence: told } });
    }
  });
}

/** Puts the lab's run on its new device, as it was when it was last kept. */
async function findRun(lab: Lab, wasTraining: boolean) {
  const { run: lost, training } = lab;
  if (!lost) return null;
  const { settings, mark } = lost;
  const text = await lab.texts.get(settings.text).catch(() => null);
  const device = lab.needDevice();
  const begin = () => text && Run.create(device, settings, text, mark);
  const run = training.kept ? Run.load(device, training.kept.file, mark) : begin();
  if (!run) throw new ValueError("device: it was lost before a checkpoint was kept; train again");
  run.voice.kept = lost.voice.kept;
  lab.run = run;
  const goesOn = wasTraining && text !== null;
  const way = goesOn ? "the run goes on from there" : "the run can be resumed from there";
  return {
    step: run.step,
    sentence: ` The checkpoint of step ${run.step.toLocaleString("en")} was kept, and ${way}.`,
    goOn() {
      if (!goesOn) return;
      run.prepare(text);
      training.begin(run);
    },
  };
}

/** Reads an opened model again, from where it came, and gives it the state that was kept of it. */
async function reopen(lab: Lab, lost: Guest): Promise<void> {
  const { emit } = lab;
  emit({ kind: "modelReopening" });
  try {
    const guest = await lab.opening.open(lab.needDevice(), lost.source);
    guest.voice.kept = lost.voice.kept;
    await lab.turns.interrupt(async () => {
      if (lab.guest === lost) lab.guest = guest;
      else guest.voice.dispose(); // another was opened meanwhile, or it was closed
    });
    emit({ kind: "modelReopened", sentence: null });
  } catch (error) {
    if (error instanceof DeviceLostError) return; // the next recovery reads it again
    if (lab.guest === lost) lab.closeGuest();
    const sentence = `The opened model could not be read again after the GPU was lost. ${failureOf(error).sentence}`;
    emit({ kind: "modelReopened", sentence });
  }
}
