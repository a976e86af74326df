/**
 * Launches and time of a training step and of a decoding step of each RWKV: `node scripts/run.mjs bench/rwkv-step.ts`.
 * A layer's launches are what a model of three layers takes more than one of two. Writes bench/results/rwkv-step.json.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Device } from "../src/gpu/device.ts";
import { openDevice } from "../src/gpu/open.ts";
import { createModel, modelKind } from "../src/models/registry.ts";
import { rwkvVersions } from "../src/models/rwkv/config.ts";
import { AdamW } from "../src/optim/adam.ts";
import { constantLr } from "../src/optim/schedule.ts";
import { tensor } from "../src/tensor/create.ts";
import { Random } from "../src/tensor/philox.ts";
import { scope } from "../src/tensor/scope.ts";
import { streamBatches } from "../src/text/batches.ts";
import { Trainer } from "../src/train/trainer.ts";
import { getGpu } from "../test/support/device.ts";

const SIZE = { vocabSize: 64, width: 64 };
const BATCH = { batchSize: 4, seqLength: 64 };
const STEPS = 20;

async function measure(device: Device, kind: string, numLayers: number) {
  const random = new Random(1);
  const ids = Int32Array.from({ length: 20_000 }, () => random.integer(SIZE.vocabSize));
  const model = createModel(device, modelKind(kind).sized({ ...SIZE, numLayers }), { random });
  const optimizer = new AdamW(model.parameters(), { lr: 1e-3, maxNorm: 1 });
  const batches = streamBatches(ids, BATCH);
  const trainer = new Trainer({ model, optimizer, batches, schedule: constantLr(1e-3) });
  const time = async (run: () => Promise<void>) => {
    const start = performance.now();
    await run();
    await device.sync();
    return (performance.now() - start) / STEPS;
  };
  await trainer.run(2);
  const trainMs = await time(async () => void (await trainer.run(STEPS)));

  const decoder = model.decoder();
  const state = model.initialState(1);
  const token = tensor(device, [1], [1], "u32");
  const step = () =>
    scope(() => {
      const next = decoder.step(token, state);
      state.assign(next.state);
    });
  step();
  await device.sync();
  const { dispatches } = device.stats;
  step();
  await device.sync();
  const decodeDispatches = device.stats.dispatches - dispatches;
  const decodeMs = await time(async () => {
    for (let n = 0; n < STEPS; n++) step();
  });
  const trainDispatches = trainer.dispatchesPerStep;
  trainer.dispose();
  optimizer.dispose();
  state.dispose();
  token.dispose();
  model.dispose();
  return { trainDispatches, trainMs, decodeDispatches, decodeMs };
}

const device = await openDevice({ gpu: await getGpu() });
const rows = [];
for (const version of rwkvVersions) {
  const kind = `rwkv${version}`;
  const two = await measure(device, kind, 2);
  const three = await measure(device, kind, 3);
  rows.push({
    kind,
    trainDispatchesPerLayer: three.trainDispatches - two.trainDispatches,
    decodeDispatchesPerLayer: three.decodeDispatches - two.decodeDispatches,
    trainMs: Number(three.trainMs.toFixed(2)),
    decodeMs: Number(three.decodeMs.toFixed(2)),
  });
}
console.table(rows);
const report = {
  date: new Date().toISOString().slice(0, 10),
  command: "node scripts/run.mjs bench/rwkv-step.ts",
  adapter: device.info.description,
  software: device.software,
  sizes: { ...SIZE, ...BATCH, numLayers: 3 },
  rows,
};
const folder = join(import.meta.dirname, "results");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "rwkv-step.json"), `${JSON.stringify(report, null, 2)}\n`);
process.exit(0);
