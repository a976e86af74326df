import { RetNetLanguageModel } from "../../../src/models/retnet/model.ts";
import { MultiScaleRetention, RetentionTables } from "../../../src/nn/retnet/retention.ts";
import { rotary } from "../../../src/ops/attention/rotary.ts";
import { crossEntropy } from "../../../src/ops/crossEntropy.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import { retentionTurns } from "../../../src/ops/retention/retention.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { Kind } from "../kind.ts";
import { compareGradients, valuesOf } from "../module.ts";

const scoresOf = ({ normalisation }: { readonly normalisation: string }) => ({
  normaliseScores: normalisation === "torchscale",
});

export const kinds: Record<string, Kind> = {
  retnet: async (fixture) => {
    const { device, attrs } = fixture;
    if (!fixture.has("param.q_proj.weight")) {
      const table = retentionTurns(device, attrs.D);
      return { y: rotary(fixture.in("x"), table, { position: attrs.first_position, layout: "BHTD" }) };
    }
    const { C, Cv, H, eps } = attrs;
    const module = new MultiScaleRetention(device, {
      channels: C,
      valueChannels: Cv,
      heads: H,
      eps,
      ...scoresOf(attrs),
    });
    module.loadStateDict(await valuesOf(fixture));
    const tables = new RetentionTables(device, C, H);
    const outputs: Record<string, Tensor> = { y: module.forward(fixture.in("x"), tables, { position: 0 }).y };
    compareGradients(fixture, module, outputs);
    return outputs;
  },

  retnet_lm: async (fixture) => {
    const { V, C, Cv, H, n_layer, F, eps } = fixture.attrs;
    const model = new RetNetLanguageModel(fixture.device, {
      ...{ kind: "retnet", vocabSize: V, channels: C, heads: H, numLayers: n_layer },
      ...{ valueChannels: Cv, hiddenSize: F, eps, ...scoresOf(fixture.attrs) },
    });
    model.loadStateDict(await valuesOf(fixture));
    const { logits } = model.forward(fixture.in("tokens"));
    const loss = crossEntropy(reshape(logits, [-1, V]), reshape(fixture.in("targets"), [-1]));
    const outputs: Record<string, Tensor> = { logits, loss };
    compareGradients(fixture, model, outputs);
    return outputs;
  },
};
