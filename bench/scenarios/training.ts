import { modelKinds } from "../../src/models/registry.ts";
import { scriptTime } from "../measure.ts";
import { timeRuns, trainingStep } from "../work.ts";
import type { Row, Scenario } from "./scenario.ts";

/** Steps queued without waiting when JavaScript is timed: after a wait, an emulation takes the page's core away first. */
const ROW = 8;

export const scenario: Scenario = {
  name: "training",
  title: "A training step of each architecture",
  shows:
    "Forward, backward, clipping and AdamW of one layer of width 128 on 8 texts of 64 tokens, replayed. JavaScript is what the page's thread spends on each of eight replays in a row.",
  columns: [
    { name: "kind", label: "architecture" },
    { name: "tokens", label: "tokens/s" },
    { name: "ms", label: "ms a step" },
    { name: "dispatches", label: "dispatches" },
    { name: "script", label: "JavaScript (us a dispatch)" },
    { name: "peak", label: "peak memory (MiB)" },
  ],
  pictures: [{ mark: "bar", x: "kind", y: "tokens" }],
  async run(device, { quick, progress }) {
    const sizes = quick ? { width: 16, B: 2, T: 8 } : { width: 128, B: 8, T: 64 };
    const rows: Row[] = [];
    for (const { kind, label } of modelKinds) {
      progress(label);
      await device.sync();
      device.trim();
      device.pool.resetPeak();
      const { live } = device.stats.memory;
      const step = await trainingStep(device, kind, sizes);
      const ms = await timeRuns(device, () => step.plan.replay(), quick ? 10 : 1000);
      const scriptUs = await scriptTime(device, step.plan, ROW, 0);
      const { dispatches } = step.plan;
      rows.push({
        ...{ kind: label, tokens: (sizes.B * sizes.T * 1000) / ms, ms, dispatches },
        ...{ script: scriptUs / dispatches, peak: (device.stats.memory.peak - live) / 2 ** 20 },
      });
      step.dispose();
    }
    return rows;
  },
};
