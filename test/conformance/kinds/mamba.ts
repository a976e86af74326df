import { mambaFromCheckpoint } from "../../../src/models/mamba/model.ts";
import { MambaMixer } from "../../../src/nn/mamba/mixer.ts";
import { crossEntropy } from "../../../src/ops/crossEntropy.ts";
import { reshape } from "../../../src/ops/reshape.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { Kind } from "../kind.ts";
import { compareGradients, valuesOf } from "../module.ts";

export const kinds: Record<string, Kind> = {
  mamba: async (fixture) => {
    const { d_model, d_state, d_conv, expand, dt_rank } = fixture.attrs;
    const mixer = new MambaMixer(fixture.device, {
      ...{ channels: d_model, innerSize: expand * d_model, stateSize: d_state, convWidth: d_conv },
      ...{ rank: dt_rank, layers: 1 },
    });
    mixer.loadStateDict(await valuesOf(fixture));
    const outputs: Record<string, Tensor> = { y: mixer.forward(fixture.in("x")).y };
    compareGradients(fixture, mixer, outputs);
    return outputs;
  },

  mamba_lm: async (fixture) => {
    const model = mambaFromCheckpoint(fixture.device, await valuesOf(fixture));
    const { logits } = model.forward(fixture.in("tokens"));
    const targets = reshape(fixture.in("targets"), [-1]);
    const loss = crossEntropy(reshape(logits, [-1, model.config.vocabSize]), targets);
    const outputs: Record<string, Tensor> = { logits, loss };
    compareGradients(fixture, model, outputs);
    return outputs;
  },
};
