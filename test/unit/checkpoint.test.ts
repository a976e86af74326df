import { expect, test } from "vitest";
import { writeSafetensors } from "../../src/io/write.ts";
import { modelKind } from "../../src/models/registry.ts";
import { ByteTokenizer } from "../../src/text/bytes.ts";
import { readCheckpoint } from "../../src/train/checkpoint.ts";

const config = modelKind("lstm").sized({ vocabSize: 256, width: 8, numLayers: 1 });
const training = { step: 3, batches: {}, generators: [], schedule: {}, settings: null };
const metadata = { ostinato: JSON.stringify({ config, tokenizer: new ByteTokenizer().toJSON(), training }) };
const values = Float32Array.from({ length: 2 ** 16 }, (_, i) => i % 1000);

test.each(["F32", "F16"] as const)("a checkpoint in %s is read without a copy of its values", (dtype) => {
  const tensor = { shape: [values.length], data: values };
  const file = writeSafetensors(
    [
      ["weight", { ...tensor, dtype }],
      ["ostinato.optimizer.moment", tensor],
      ["ostinato.state.h", tensor],
    ],
    metadata,
  );
  const before = process.memoryUsage().arrayBuffers;
  const { parameters, training: run } = readCheckpoint(file);
  const optimizer = run?.state.optimizer.get("moment");
  const carried = run?.state.carried.get("h")?.values;
  const weight = parameters.get("weight");
  const stored = dtype === "F16" ? weight?.halves : weight?.values;
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(file.length / 100);
  for (const view of [optimizer, carried, stored]) expect(view?.buffer).toBe(file.buffer);
  expect(weight?.values.every((value, i) => value === values[i])).toBe(true);
});
