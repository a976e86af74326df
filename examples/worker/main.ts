import { connect } from "ostinato/worker";

const form = document.querySelector("form")!;
const text = document.querySelector("#text")!;
const state = document.querySelector("#state")!;
let writing = new AbortController();

const tell = (error: Error) => {
  state.textContent = error.message;
};

async function start(): Promise<void> {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
  // After a lost device the next call opens another and goes on from the last checkpoint.
  const model = await connect(worker, { onLost: tell });
  await model.open(new URL("../whale.safetensors", import.meta.url));
  // One text that goes on over several prompts: the model remembers what came before.
  const session = await model.session();

  async function goOn(prompt: string): Promise<void> {
    writing = new AbortController();
    text.append(prompt);
    for await (const piece of session.generate(prompt, { temperature: 0.7, maxTokens: 120, signal: writing.signal }))
      text.append(piece);
    const { position, byteLength } = await session.measure();
    state.textContent = `${position} tokens, remembered in ${byteLength.toLocaleString()} bytes`;
  }

  form.onsubmit = (event) => {
    event.preventDefault();
    goOn(String(new FormData(form).get("prompt"))).catch(tell);
    form.reset();
  };
  document.querySelector<HTMLButtonElement>("#stop")!.onclick = () => writing.abort();
  state.textContent = `Ready on ${model.device.description || model.device.vendor}.`;
}

start().catch(tell);
