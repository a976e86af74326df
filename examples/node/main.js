import { readFile } from "node:fs/promises";
import { generate, loadCheckpoint, openDevice } from "ostinato";
import { create, globals } from "webgpu";

// Dawn. Keep what `create` gives for as long as its devices are used.
Object.assign(globalThis, globals);
const gpu = create([]);

const device = await openDevice({ gpu });
const file = await readFile(new URL("../whale.safetensors", import.meta.url));
const { model, tokenizer } = loadCheckpoint(device, new Uint8Array(file));

const prompt = process.argv[2] ?? "Call me";
process.stdout.write(prompt);
for await (const piece of generate(model, tokenizer, { prompt, temperature: 0.7 })) process.stdout.write(piece);
process.stdout.write("\n");

// A live device keeps the process running.
device.destroy();
