import { createCache } from "../../src/ops/attention/cache.ts";
import { decodeAttention } from "../../src/ops/attention/decode.ts";
import { capture } from "../../src/tensor/capture.ts";
import { ones, tensor } from "../../src/tensor/create.ts";
import { timePlan } from "../work.ts";
import type { Row, Scenario } from "./scenario.ts";

const HEADS = 4;
const HEAD_SIZE = 64;
const FORMS = [
  { form: "one workgroup a head", splits: 1 },
  { form: "8 workgroups a head", splits: 8 },
] as const;
/** Steps of one captured plan: one alone is shorter than what a submit costs. */
const STEPS = 16;

export const scenario: Scenario = {
  name: "decode-attention",
  title: "Attention of one new token against the tokens before it",
  shows:
    "Time of a step of decoding, four heads of 64, one text. One workgroup a head leaves a GPU idle; split keys keep it busy, at the price of one more launch that merges the parts.",
  columns: [
    { name: "kind", label: "kernel and storage" },
    { name: "context", label: "tokens before" },
    { name: "us", label: "µs a token" },
  ],
  pictures: [{ mark: "line", x: "context", y: "us", series: "kind", log: ["x", "y"] }],
  async run(device, { quick, progress }) {
    const rows: Row[] = [];
    const contexts = quick ? [8, 16] : [64, 256, 1024, 4096];
    for (const { form, splits } of FORMS)
      for (const half of [false, true])
        for (const context of contexts) {
          const kind = `${form}, ${half ? "halves" : "f32"}`;
          progress(`${kind}, ${context} tokens`);
          const sizes = { batch: 1, keyHeads: HEADS, size: HEAD_SIZE, capacity: Math.max(...contexts) + 1 };
          const cache = createCache(device, sizes, { half });
          const position = tensor(device, [context], [1], "u32");
          const row = ones(device, [1, HEADS, HEAD_SIZE]);
          const plan = await capture(device, () =>
            Array.from({ length: STEPS }, () => decodeAttention(row, row, row, cache, position, { splits })),
          );
          const us = ((await timePlan(device, plan)) / STEPS) * 1000;
          rows.push({ kind, context, us });
          for (const one of [plan, row, position, cache.slots]) one.dispose();
        }
    return rows;
  },
};
