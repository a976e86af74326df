import {
  bitsPerToken,
  createModel,
  type Device,
  loadCheckpoint,
  modelKind,
  Random,
  type RunSettings,
  TrainingRun,
} from "ostinato";
import { encodeSource } from "ostinato/text";
import { Failure } from "./failure.ts";
import { readBytes, readChunks, replaceFile } from "./files.ts";
import { openGpu } from "./gpu.ts";
import { Progress } from "./progress.ts";

export interface TrainOptions extends RunSettings {
  /** The checkpoint. */
  readonly out: string;
  readonly resume?: boolean;
  readonly model: string;
  readonly width: number;
  readonly layers: number;
  readonly context: number;
  readonly tokenizer: "characters" | "bytes";
  readonly seed?: number;
  /** Seconds between two saves. */
  readonly saveEvery: number;
}

/** Trains a model on a text file and keeps it in a checkpoint; an interrupt saves too. */
export async function train(file: string, options: TrainOptions): Promise<void> {
  const { out, saveEvery } = options;
  const saved = options.resume ? await readBytes(out) : null;
  const device = await openGpu();
  const progress = new Progress();
  const run = await (saved ? goOn(device, file, saved, options, progress) : begin(device, file, options, progress));
  const { model, settings, corpus } = run;
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
    while (run.step < settings.steps && !interrupt.signal.aborted) {
      const pause = AbortSignal.timeout(saveEvery * 1000);
      await run.train(settings.steps - run.step, AbortSignal.any([interrupt.signal, pause]));
      await replaceFile(out, await run.save());
    }
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

async function begin(device: Device, file: string, options: TrainOptions, progress: Progress): Promise<TrainingRun> {
  const { model: kind, width, layers: numLayers, context: contextLength, tokenizer, seed, ...settings } = options;
  const text = await encodeSource(readChunks(file), tokenizer);
  const config = modelKind(kind).sized({ vocabSize: text.tokenizer.vocabSize, width, numLayers, contextLength });
  const model = createModel(device, config, seed === undefined ? {} : { random: new Random(seed) });
  return new TrainingRun(model, text, { ...settingsOf(settings), onReport: (report) => progress.update(report) });
}

async function goOn(
  device: Device,
  file: string,
  saved: Uint8Array<ArrayBuffer>,
  { steps, out }: TrainOptions,
  progress: Progress,
): Promise<TrainingRun> {
  const { model, tokenizer, training } = loadCheckpoint(device, saved);
  if (!training) throw new Failure(`${out} holds a model but no run to resume; train without --resume`);
  const text = await encodeSource(readChunks(file), tokenizer);
  const more = steps === undefined ? {} : { steps };
  return new TrainingRun(model, text, { ...more, resume: training, onReport: (report) => progress.update(report) });
}

function settingsOf({ batchSize, seqLength, lr, steps, maxNorm, validation }: RunSettings): RunSettings {
  return { batchSize, seqLength, lr, steps, maxNorm, validation } as RunSettings;
}
