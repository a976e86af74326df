#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { modelKinds, OstinatoError } from "ostinato";
import { bench } from "./bench.ts";
import { Failure } from "./failure.ts";
import { write } from "./generate.ts";
import { info } from "./info.ts";
import { train } from "./train.ts";

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8"));

const whole = (text: string): number => {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new InvalidArgumentError("Use a whole number of 0 or more.");
};
const count = (text: string): number => {
  if (/^0*[1-9]\d*$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new InvalidArgumentError("Use a whole number of 1 or more.");
};
const real = (text: string): number => {
  const value = Number(text);
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("Use a number.");
};

const program = new Command("ostinato")
  .description("Sequence models on the GPU: train, generate, and look at the device.")
  .version(version)
  .showHelpAfterError("(--help lists the options)");

program
  .command("info")
  .description("the adapter, its limits, and a self-check of every kernel against float64")
  .option("--json", "as JSON")
  .option("--only <name>", "check only the kernels whose names contain it")
  .action(info);

const trainCommand = program
  .command("train")
  .description("train a language model on a text file")
  .argument("<corpus>", "a text file")
  .addOption(new Option("--model <kind>", "kind of model").choices(modelKinds.map(({ kind }) => kind)).default("lstm"))
  .option("--width <channels>", "width of the layers", count, 256)
  .option("--layers <count>", "number of layers", count, 1)
  .option("--context <tokens>", "tokens that attention sees", count, 256)
  .addOption(new Option("--tokenizer <kind>", "what a token is").choices(["characters", "bytes"]).default("characters"))
  .option("--steps <count>", "optimizer steps in all (default: 1000)", count)
  .option("--batch-size <count>", "texts read side by side (default: 16)", count)
  .option("--seq-length <tokens>", "tokens of a sequence (default: 64)", count)
  .option("--lr <rate>", "highest learning rate (default: 0.003)", real)
  .option("--max-norm <norm>", "gradients are clipped to it (default: 1)", real)
  .option("--validation <share>", "share of the text held out (default: 0.1)", real)
  .option("--seed <number>", "of the first weights", whole)
  .option("--out <file>", "the checkpoint", "model.safetensors")
  .option("--save-every <seconds>", "between two saves", count, 60)
  .option("--until <step>", "save and end at this step of the run, to go on later with --resume", count)
  .option("--resume", "go on with the run in --out")
  .option("--force", "replace what is in --out")
  .action((corpus, options) => {
    const fixed = [
      "model",
      "width",
      "layers",
      "context",
      "tokenizer",
      "seed",
      "batchSize",
      "seqLength",
      "lr",
      "maxNorm",
      "validation",
    ];
    const given = fixed.filter((name) => trainCommand.getOptionValueSource(name) === "cli");
    if (options.resume && given.length > 0)
      throw new Failure(
        `${given.join(", ")}: a resumed run has its own; with --resume give only --steps, --until, --out and --save-every`,
      );
    return train(corpus, options);
  });

program
  .command("generate")
  .description("stream the text of a model: a checkpoint, or RWKV, GPT-2 or Mamba as safetensors or .pth")
  .argument("<model>", "a file, or an address to fetch")
  .option("--tokenizer <file>", "a tokenizer.json, RWKV's vocabulary file, or gpt2 or bytes (default: the model's)")
  .option("--heads <count>", "heads of a GPT-2 that has no heads of 64 channels", whole)
  .option("--head-eps <number>", "1e-5 for RWKV-5 files that were made for rwkv.cpp", real)
  .addOption(new Option("--weights <type>", "f16 keeps them in half the memory").choices(["f16", "f32"]).default("f32"))
  .option("--prompt <text>", "text to continue", "")
  .option("--max-tokens <count>", "tokens to write", whole, 256)
  .option("--temperature <number>", "below 1 sharper, 0 always the best token", real, 0.8)
  .option("--top-k <count>", "only the k best tokens", whole)
  .option("--top-p <share>", "only the best tokens that make up this share", real)
  .option("--min-p <share>", "only tokens this probable beside the best", real)
  .option("--repetition-penalty <factor>", "above 1 avoids tokens that occurred", real)
  .option("--seed <number>", "of the random numbers", whole)
  .option("--stop <texts...>", "texts that end the generation")
  .action(write);

program
  .command("bench")
  .description("check operations against float64, and time them beside this device's peaks")
  .option("--list", "names of the lines")
  .option("--filter <text>", "only lines whose names contain it, such as lstm or matmul/square")
  .option("--quick", "few samples and no peaks: right or wrong, and a rough time")
  .option("--budget <ms>", "milliseconds of samples a line (default: 1000)", count)
  .addOption(new Option("--power <preference>", "which GPU of several").choices(["low-power", "high-performance"]))
  .option("--json <file>", "write the report as JSON")
  .action(bench);

try {
  await program.parseAsync();
} catch (error) {
  const interrupted = error instanceof Error && error.name === "AbortError";
  if (!(interrupted || error instanceof Failure || error instanceof OstinatoError)) throw error;
  if (!interrupted) console.error(`ostinato: ${error.message}`);
  process.exitCode = interrupted ? 130 : 1; // 128 and the number of the signal, as shells have it
}
// Dawn keeps the process alive; what was printed must leave first.
process.stdout.write("", () => process.exit());
