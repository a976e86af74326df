import { existsSync } from "node:fs";
import {
  bitsPerToken,
  createModel,
  type Device,
  type LanguageModel,
  modelKind,
  modelOf,
  Random,
  type RunOptions,
  type RunSettings,
  readCheckpoint,
  TrainingRun,
  type TrainReport,
} from "ostinato";
import { type Encoded, encodeSource } from "ostinato/text";
import { Failure } from "./failure.ts";
import { checkPlace, readBytes, readChunks, replaceFile } from "./files.ts";
import { openGpu } from "./gpu.ts";
import { Progress } from "./progress.ts";

export interface TrainOptions extends RunSettings {
  /** The checkpoint. */
  readonly out: string;
  readonly resume?: boolean;
  /** Replace a checkpoint that is there. */
  readonly force?: boolean;
  readonly model: string;
  readonly width: number;
  readonly layers: number;
  readonly context: number;
  readonly tokenizer: "characters" | "bytes";
  readonly seed?: number;
  /** Step at which to save and end for now; the learning rate follows the whole run. */
  readonly until?: number;
  /** Seconds between two saves. */
  readonly saveEvery: number;
}

/** Trains a model on a text file and keeps it in a checkpoint; an interrupt saves too. */
export async function train(file: string, options: TrainOptions): Promise<void> {
  const { out, saveEvery, until = Number.POSITIVE_INFINITY } = options;
  // What can be refused is refused before the GPU is opened, and long before the first save.
  const saved = options.resume ? await readBytes(out) : null;
  await checkPlace(out);
  if (!saved && !options.force && existsSync(out))
    throw new Failure(`${out} is there already; go on with --resume, replace it with --force, or give another --out`);
  const { text, build, run: settled } = await (saved ? goOn(file, saved, options) : begin(file, options));
  const progress = new Progress();
  const onReport = (report: TrainReport) => progress.update(report);
  const run = new TrainingRun(build(await openGpu()), text, { ...settled, onReport });
  const { model, settings, corpus } = run;
  const end = Math.min(settings.steps, until);
  if (run.step >= end)
    throw new Failure(
      `${out} is at step ${run.step} of ${settings.steps} already; to go on, give ${end < settings.steps ? "--until" : "--steps"} above ${run.step}`,
    );
  const [parameters, tokens] = [model.parameterCount, corpus.train.length + corpus.validation.length].map((count) =>
    count.toLocaleString("en"),
  );
  console.log(
    `${model.config.kind}, ${parameters} parameters, ${tokens} tokens; step ${run.step} of ${settings.steps}`,
  );

  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort());
  progress.start(settings.steps, run.step);
  try {
    do {
      const pause = AbortSignal.timeout(saveEvery * 1000);
      await run.train(end - run.step, AbortSignal.any([interrupt.signal, pause]));
      await replaceFile(out, await run.save());
    } while (run.step < end && !interrupt.signal.aborted);
  } finally {
    progress.stop();
  }
  if (run.step < settings.steps) {
    console.log(`saved ${out} at step ${run.step}; go on with --resume`);
    return;
  }
  const loss = await run.evaluate();
  if (loss !== null)
    console.log(`held-out loss ${loss.toFixed(4)} nats, ${bitsPerToken(loss).toFixed(3)} bits a token`);
  console.log(`saved ${out}; now: npx ostinato generate ${out}`);
}

/** A run as far as it goes without a GPU. */
interface Prepared {
  readonly text: Encoded;
  readonly run: RunOptions;
  build(device: Device): LanguageModel;
}

async function begin(file: string, options: TrainOptions): Promise<Prepared> {
  const { model: kind, width, layers: numLayers, context: contextLength, tokenizer, seed } = options;
  const { batchSize, seqLength, lr, steps, maxNorm, validation } = options;
  const text = await encodeSource(readChunks(file), tokenizer);
  const config = modelKind(kind).sized({ vocabSize: text.tokenizer.vocabSize, width, numLayers, contextLength });
  const init = seed === undefined ? {} : { random: new Random(seed) };
  return {
    text,
    run: { batchSize, seqLength, lr, steps, maxNorm, validation } as RunOptions,
    build: (device) => createModel(device, config, init),
  };
}

async function goOn(file: string, saved: Uint8Array<ArrayBuffer>, { steps, out }: TrainOptions): Promise<Prepared> {
  const checkpoint = readCheckpoint(saved);
  const { tokenizer, training } = checkpoint;
  if (!training) throw new Failure(`${out} holds a model but no run to resume; train without --resume`);
  return {
    text: await encodeSource(readChunks(file), tokenizer),
    run: { ...(steps !== undefined && { steps }), resume: training },
    build: (device) => modelOf(device, checkpoint),
  };
}
