import { RetNetLanguageModel } from "../../../src/models/retnet/model.ts";
import { MultiScaleRetention, RetentionTables } from "../../../src/nn/retnet/retention.ts";
import { rotary } from "../../../src/ops/attention/rotary.ts";
import { retentionTurns } from "../../../src/ops/retention/retention.ts";
import type { Kind } from "../kind.ts";
import { languageOutputs, outputsOf, valuesOf } from "../module.ts";

const scoresOf = ({ normalisation }: { readonly normalisation: string }) => ({
  normaliseScores: normalisation === "torchscale",
});

export const kinds: Record<string, Kind> = {
  retnet: async (fixture) => {
    const { device, attrs } = fixture;
    if (!fixture.has("param.q_proj.weight")) {
      const table = fixture.own(retentionTurns(device, attrs.D));
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
    const tables = fixture.own(new RetentionTables(device, C, H));
    return outputsOf(fixture, module, () => ({ y: module.forward(fixture.in("x"), tables, { position: 0 }).y }));
  },

  retnet_lm: async (fixture) => {
    const { V, C, Cv, H, n_layer, F, eps } = fixture.attrs;
    const model = new RetNetLanguageModel(fixture.device, {
      ...{ kind: "retnet", vocabSize: V, channels: C, heads: H, numLayers: n_layer },
      ...{ valueChannels: Cv, hiddenSize: F, eps, ...scoresOf(fixture.attrs) },
    });
    model.loadStateDict(await valuesOf(fixture));
    return languageOutputs(fixture, model);
  },
};
