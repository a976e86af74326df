import { noGrad } from "../../src/autograd/mode.ts";
import { cast } from "../../src/ops/cast.ts";
import { reshape } from "../../src/ops/reshape.ts";
import { slice } from "../../src/ops/slice.ts";
import { capture } from "../../src/tensor/capture.ts";
import { tensor } from "../../src/tensor/create.ts";
import { scope } from "../../src/tensor/scope.ts";
import { smallModel, timeRuns, VOCAB } from "../work.ts";
import type { Row, Scenario } from "./scenario.ts";

const KINDS = ["lstm", "transformer", "rwkv7"];

export const scenario: Scenario = {
  name: "parallel-training",
  title: "A whole sequence at once against token by token",
  shows:
    "Tokens a second of the forward pass over one text, both ways captured and replayed. The parallel form multiplies all positions in one product; token by token, every weight is read again for each of them.",
  columns: [
    { name: "kind", label: "architecture" },
    { name: "form", label: "form" },
    { name: "T", label: "tokens a text" },
    { name: "tokens", label: "tokens/s" },
    { name: "series", label: "architecture and form" },
  ],
  pictures: [{ mark: "line", x: "T", y: "tokens", series: "series", log: ["x", "y"] }],
  async run(device, { quick, progress }) {
    const rows: Row[] = [];
    for (const kind of KINDS)
      for (const T of quick ? [4, 8] : [16, 64, 256]) {
        progress(`${kind}, ${T} tokens`);
        const model = smallModel(device, kind, quick ? 16 : 128, T);
        const ids = tensor(
          device,
          Int32Array.from({ length: T }, (_, i) => (i * 7) % VOCAB),
          [1, T],
        );
        const decoder = model.decoder();
        const start = model.initialState(1);
        const forms = {
          parallel: () => noGrad(() => model.forward(ids).logits),
          "token by token": () =>
            noGrad(() => {
              let state = start;
              let logits = null;
              for (let t = 0; t < T; t++) {
                const token = cast(reshape(slice(ids, 1, t, t + 1), [1]), "u32");
                ({ logits, state } = decoder.step(token, state));
              }
              return logits;
            }),
        };
        for (const [form, run] of Object.entries(forms)) {
          const plan = await capture(device, () => scope(run));
          const { ms } = await timeRuns(device, () => plan.replay(), quick ? 5 : 500);
          rows.push({ kind, form, T, tokens: (T * 1000) / ms, series: `${kind}, ${form}` });
          plan.outputs?.dispose();
          plan.dispose();
        }
        for (const one of [start, decoder, ids, model]) one.dispose();
      }
    return rows;
  },
};
