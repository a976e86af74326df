import { modelKinds } from "../../src/models/registry.ts";
import { trainingStep } from "../work.ts";
import type { Row, Scenario } from "./scenario.ts";

export const scenario: Scenario = {
  name: "sequence-memory",
  title: "Memory of a training step against sequence length",
  shows:
    "Most bytes alive in a training step of one layer of width 64 on one text. All grow in proportion: no architecture stores a matrix of T by T.",
  columns: [
    { name: "kind", label: "architecture" },
    { name: "T", label: "tokens a text" },
    { name: "peak", label: "peak memory (MiB)" },
  ],
  pictures: [{ mark: "line", x: "T", y: "peak", series: "kind", log: ["x", "y"] }],
  async run(device, { quick, progress }) {
    const rows: Row[] = [];
    for (const { kind, label } of modelKinds)
      for (const T of quick ? [8, 16] : [64, 128, 256, 512, 1024]) {
        progress(`${label}, ${T} tokens`);
        await device.sync();
        device.pool.resetPeak();
        const { live } = device.stats.memory;
        const step = await trainingStep(device, kind, { width: quick ? 16 : 64, B: 1, T });
        rows.push({ kind: label, T, peak: (device.stats.memory.peak - live) / 2 ** 20 });
        step.dispose();
      }
    return rows;
  },
};
