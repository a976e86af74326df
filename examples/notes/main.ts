import { connect } from "ostinato/worker";
import { forget, load, save } from "./store.ts";

const MODEL = "notes.safetensors";
const TEXT = "notes.txt";
const BASE = new URL("../whale.safetensors", import.meta.url);

const notes = document.querySelector("textarea")!;
const output = document.querySelector("output")!;

const buttons = document.querySelectorAll("button");

/** A button whose work keeps the others waiting, and tells what goes wrong. */
function onClick(id: string, run: () => Promise<void>): void {
  document.querySelector<HTMLButtonElement>(`#${id}`)!.onclick = async () => {
    for (const button of buttons) button.disabled = true;
    await run().catch(tell);
    for (const button of buttons) button.disabled = false;
  };
}

const tell = (error: Error) => {
  output.textContent = error.message;
};

async function start(): Promise<void> {
  const model = await connect(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }), {
    onLost: tell,
  });
  const saved = await load(MODEL);
  await model.open(saved ?? BASE);
  notes.value = (await (await load(TEXT))?.text()) ?? "";

  onClick("learn", async () => {
    await save(TEXT, notes.value);
    // A small rate and few steps: the model should pick up the notes without unlearning to spell.
    await model.train(notes.value, {
      steps: 60,
      lr: 2e-3,
      batchSize: 4,
      seqLength: 32,
      validation: 0,
      onReport: ({ step, records }) => {
        output.textContent = `Step ${step} of 60, loss ${records.at(-1)?.loss.toFixed(2)}`;
      },
    });
    await save(MODEL, await model.save());
    output.textContent = "Learnt, and saved in this browser.";
  });

  onClick("write", async () => {
    output.textContent = "";
    for await (const piece of model.generate("", { temperature: 0.5, maxTokens: 200 })) output.append(piece);
  });

  onClick("forget", async () => {
    await forget(MODEL, TEXT);
    await model.open(BASE);
    notes.value = "";
    output.textContent = "Forgotten.";
  });

  output.textContent = saved ? "Back, with what it learnt before." : "Ready to learn.";
}

start().catch(tell);
