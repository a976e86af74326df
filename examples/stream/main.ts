import { generate, loadCheckpoint, openDevice } from "ostinato";

const form = document.querySelector("form")!;
const output = document.querySelector("output")!;
let writing = new AbortController();

// Whatever goes wrong (no WebGPU, a damaged file, a lost device) is one sentence for the reader.
const tell = (error: Error) => {
  output.textContent = error.message;
};

async function start(): Promise<void> {
  const device = await openDevice();
  const file = await fetch(new URL("../whale.safetensors", import.meta.url));
  const { model, tokenizer } = loadCheckpoint(device, await file.arrayBuffer());

  async function write(prompt: string): Promise<void> {
    writing.abort();
    writing = new AbortController();
    output.textContent = prompt;
    const options = { prompt, temperature: 0.7, signal: writing.signal };
    for await (const piece of generate(model, tokenizer, options)) output.append(piece);
  }

  form.onsubmit = (event) => {
    event.preventDefault();
    write(String(new FormData(form).get("prompt"))).catch(tell);
  };
  document.querySelector<HTMLButtonElement>("#stop")!.onclick = () => writing.abort();
  output.textContent = `Ready: ${model.parameterCount.toLocaleString()} parameters.`;
}

start().catch(tell);
