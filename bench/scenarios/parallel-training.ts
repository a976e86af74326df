import { timeRuns, tokenByToken, trainingStep } from "../work.ts";
import type { Row, Scenario } from "./scenario.ts";

/** A Transformer's cache takes no gradient, so it trains in parallel alone. */
const KINDS = { lstm: true, retnet: true, mamba: true, rwkv7: true, transformer: false };
/** Token by token, a step's launches grow with the sequence; beyond this they only take time. */
const LONGEST_SEQUENTIAL = 64;

export const scenario: Scenario = {
  name: "parallel-training",
  title: "Training throughput against sequence length, in parallel and token by token",
  shows:
    "Tokens a second of a replayed training step (forward, backward, AdamW) of one layer of width 64 on 2 texts. In parallel, all positions go through a weight in one product, and longer texts cost no more launches; token by token, every weight is read and every kernel launched again for each of them. An LSTM shares its products over time as well, but not its recurrence.",
  columns: [
    { name: "kind", label: "architecture" },
    { name: "form", label: "form" },
    { name: "T", label: "tokens a text" },
    { name: "tokens", label: "tokens/s" },
    { name: "dispatches", label: "dispatches" },
    { name: "series", label: "architecture and form" },
  ],
  pictures: [{ mark: "line", x: "T", y: "tokens", series: "series", log: ["x", "y"] }],
  async run(device, { quick, progress }) {
    const rows: Row[] = [];
    const [width, B] = quick ? [16, 1] : [64, 2];
    for (const [kind, sequential] of Object.entries(KINDS))
      for (const T of quick ? [2, 4] : [16, 64, 256])
        for (const form of ["parallel", "token by token"] as const) {
          const one = form === "token by token";
          if (one && (!sequential || T > LONGEST_SEQUENTIAL)) continue;
          progress(`${kind}, ${T} tokens, ${form}`);
          const step = await trainingStep(device, kind, { width, B, T }, one ? tokenByToken : undefined);
          const ms = await timeRuns(device, () => step.plan.replay(), quick ? 5 : 800);
          const { dispatches } = step.plan;
          rows.push({ kind, form, T, tokens: (B * T * 1000) / ms, dispatches, series: `${kind}, ${form}` });
          step.dispose();
        }
    return rows;
  },
};
