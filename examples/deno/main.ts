import { generate, loadCheckpoint, openDevice } from "ostinato";

const device = await openDevice();
const file = await Deno.readFile(new URL("../whale.safetensors", import.meta.url));
const { model, tokenizer } = loadCheckpoint(device, file);

const encoder = new TextEncoder();
const write = (text: string) => Deno.stdout.write(encoder.encode(text));

const prompt = Deno.args[0] ?? "Call me";
await write(prompt);
for await (const piece of generate(model, tokenizer, { prompt, temperature: 0.7 })) await write(piece);
await write("\n");
