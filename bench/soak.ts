/**
 * Trains for a thousand steps and compares memory after the last with that after the tenth:
 * `npm run bench:soak`. Writes bench/results/soak.json.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { openDevice } from "../src/gpu/open.ts";
import { createModel } from "../src/models/registry.ts";
import { AdamW } from "../src/optim/adam.ts";
import { constantLr } from "../src/optim/schedule.ts";
import { Random } from "../src/tensor/philox.ts";
import { streamBatches } from "../src/text/batches.ts";
import { Trainer } from "../src/train/trainer.ts";
import { getGpu } from "../test/support/device.ts";
import { adapterNameOf } from "./adapter.ts";

const STEPS = 1000;
const SETTLED = 10;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

const device = await openDevice({ gpu: await getGpu() });
const random = new Random(1);
const ids = Int32Array.from({ length: 20_000 }, () => random.integer(64));
const config = { kind: "lstm", vocabSize: 64, embeddingSize: 32, hiddenSize: 64, numLayers: 1, dropout: 0 };
const model = createModel(device, config, { random });
const optimizer = new AdamW(model.parameters(), { lr: 1e-3, maxNorm: 1 });
const batches = streamBatches(ids, { batchSize: 8, seqLength: 32 });
const trainer = new Trainer({ model, optimizer, batches, schedule: constantLr(1e-3), carryState: true });

async function memory() {
  await device.sync();
  collect();
  return {
    live: device.stats.memory.live,
    reserved: device.stats.memory.reserved,
    heap: process.memoryUsage().heapUsed,
  };
}

await trainer.run(SETTLED);
const before = await memory();
const start = performance.now();
await trainer.run(STEPS - SETTLED);
const msPerStep = (performance.now() - start) / (STEPS - SETTLED);
const after = await memory();

const report = {
  date: new Date().toISOString().slice(0, 10),
  command: "npm run bench:soak",
  adapter: adapterNameOf(device),
  software: device.software,
  steps: STEPS,
  dispatchesPerStep: trainer.dispatchesPerStep,
  msPerStep,
  [`after${SETTLED}`]: before,
  [`after${STEPS}`]: after,
  heapGrowth: after.heap - before.heap,
};
console.log(report);
const folder = join(import.meta.dirname, "results");
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, "soak.json"), `${JSON.stringify(report, null, 2)}\n`);
process.exit(after.live === before.live ? 0 : 1);
