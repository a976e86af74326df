/**
 * Trains the checkpoints that ship with the demo, in Node on Dawn: `node scripts/run.mjs scripts/starters.ts [NAME]`.
 * Writes demo/starters/NAME.safetensors, halved to 16 bits, and what the page says of it to demo/starters/NAME.json.
 * What was stopped goes on from dist/starters.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { corpusTexts } from "../demo/corpora/build.ts";
import { recipes, type Starter } from "../demo/starters/recipes.ts";
import { openDevice } from "../src/gpu/open.ts";
import { toFloat32 } from "../src/io/convert.ts";
import { parseSafetensors } from "../src/io/safetensors.ts";
import { writeSafetensors } from "../src/io/write.ts";
import { createModel, modelKind } from "../src/models/registry.ts";
import { Random } from "../src/tensor/philox.ts";
import { encodeSource } from "../src/text/source.ts";
import { loadCheckpoint, saveCheckpoint } from "../src/train/checkpoint.ts";
import { TrainingRun } from "../src/train/run.ts";
import { getGpu } from "../test/support/device.ts";

const root = join(import.meta.dirname, "..");
const folder = join(root, "demo/starters");
const unfinished = join(root, "dist/starters");
mkdirSync(unfinished, { recursive: true });
/** Steps between two saves. */
const SAVE_EVERY = 10;

const device = await openDevice({ gpu: await getGpu() });
for (const recipe of recipes.filter(({ id }) => !process.argv[3] || id === process.argv[3])) {
  const { id, model: kind, corpus, width, layers, seed, settings } = recipe;
  const text = await encodeSource(corpusTexts[corpus]());
  const size = { vocabSize: text.tokenizer.vocabSize, width, numLayers: layers };
  const kept = join(unfinished, id);
  const saved = existsSync(`${kept}.json`) ? loadCheckpoint(device, readFileSync(`${kept}.safetensors`)) : null;
  const model = saved?.model ?? createModel(device, modelKind(kind).sized(size), { random: new Random(seed) });
  const run = new TrainingRun(model, text, { ...settings, resume: saved?.training ?? null });
  console.log(`${id}: ${model.parameterCount.toLocaleString("en")} parameters, ${settings.steps} steps`);
  const times: number[] = saved ? JSON.parse(readFileSync(`${kept}.json`, "utf8")).times : [];
  while (run.step < settings.steps) {
    const start = performance.now();
    const steps = Math.min(SAVE_EVERY, settings.steps - run.step);
    await run.train(steps);
    times.push((performance.now() - start) / steps);
    writeFileSync(`${kept}.safetensors`, await run.save());
    writeFileSync(`${kept}.json`, JSON.stringify({ times }));
    console.log(`  step ${run.step}, ${((median(times) * run.step) / 1000).toFixed(0)} s`);
  }
  const starter: Starter = {
    parameters: model.parameterCount,
    loss: (await run.evaluate()) as number,
    seconds: Math.round((median(times) * settings.steps) / 1000),
    device: device.software ? "a processor that emulates a GPU" : (device.info?.description ?? "a GPU"),
  };
  writeFileSync(join(folder, `${id}.safetensors`), halved(await saveCheckpoint(model, text.tokenizer)));
  writeFileSync(join(folder, `${id}.json`), `${JSON.stringify(starter, null, 2)}\n`);
  console.log(`  held-out loss ${starter.loss.toFixed(3)}`);
  run.dispose();
  model.dispose();
}
process.exit(0);

/** Of milliseconds a step: what a training takes that nothing else on the machine slows down for a while. */
function median(times: readonly number[]): number {
  return [...times].sort((a, b) => a - b)[times.length >> 1] as number;
}

/** The same file with numbers of 16 bits. */
function halved(file: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const { metadata, tensors } = parseSafetensors(file);
  const entries = [...tensors].map(
    ([name, entry]) => [name, { shape: entry.shape, data: toFloat32(entry, name), dtype: "F16" }] as const,
  );
  return writeSafetensors(entries, metadata);
}
