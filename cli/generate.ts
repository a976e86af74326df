import { generate, loadCheckpoint, type SamplingOptions } from "ostinato";
import { readBytes } from "./files.ts";
import { openGpu } from "./gpu.ts";

export interface WriteOptions extends SamplingOptions {
  readonly prompt: string;
  readonly maxTokens: number;
  readonly stop?: readonly string[];
}

/** Streams a checkpoint's continuation of a prompt to the standard output. */
export async function write(file: string, options: WriteOptions): Promise<void> {
  const bytes = await readBytes(file);
  const { model, tokenizer } = loadCheckpoint(await openGpu(), bytes);
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  process.stdout.write(options.prompt);
  for await (const piece of generate(model, tokenizer, { ...options, signal: interrupt.signal }))
    process.stdout.write(piece);
  process.stdout.write("\n");
}
