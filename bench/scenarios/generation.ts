import { Session } from "../../src/generate/session.ts";
import { modelKinds } from "../../src/models/registry.ts";
import { smallModel, VOCAB } from "../work.ts";
import type { Row, Scenario } from "./scenario.ts";

export const scenario: Scenario = {
  name: "generation",
  title: "Generation against context length",
  shows:
    "Time and state of a token after so many others, width 64, one layer, sampled on the device. A recurrent state stays as it is; a key-value cache grows with the context it keeps.",
  columns: [
    { name: "kind", label: "architecture" },
    { name: "context", label: "tokens before" },
    { name: "tokens", label: "tokens/s" },
    { name: "ms", label: "ms a token" },
    { name: "state", label: "state (KiB)" },
  ],
  pictures: [
    { mark: "line", x: "context", y: "ms", series: "kind", log: ["x"] },
    { mark: "line", x: "context", y: "state", series: "kind", log: ["x", "y"] },
  ],
  async run(device, { quick, progress }) {
    const rows: Row[] = [];
    const [taken, contexts] = quick ? [4, [8, 16]] : [16, [64, 512, 2048]];
    for (const { kind, label } of modelKinds)
      for (const context of contexts) {
        progress(`${label} after ${context} tokens`);
        const model = smallModel(device, kind, quick ? 16 : 64, context + 2 * taken);
        const session = new Session(model);
        session.feed(Int32Array.from({ length: context }, (_, i) => (i * 7) % VOCAB));
        const draw = async () => {
          for await (const _ of session.generate({ maxTokens: taken, temperature: 1 }));
        };
        await draw(); // captures the plans
        const start = performance.now();
        await draw();
        const ms = (performance.now() - start) / taken;
        const state = model.initialState(1);
        rows.push({ kind: label, context, tokens: 1000 / ms, ms, state: state.byteLength / 1024 });
        for (const one of [state, session, model]) one.dispose();
      }
    return rows;
  },
};
