import { mambaFromCheckpoint } from "../../../src/models/mamba/model.ts";
import { MambaMixer } from "../../../src/nn/mamba/mixer.ts";
import type { Kind } from "../kind.ts";
import { languageOutputs, outputsOf, valuesOf } from "../module.ts";

export const kinds: Record<string, Kind> = {
  mamba: async (fixture) => {
    const { d_model, d_state, d_conv, expand, dt_rank } = fixture.attrs;
    const mixer = new MambaMixer(fixture.device, {
      ...{ channels: d_model, innerSize: expand * d_model, stateSize: d_state, convWidth: d_conv },
      ...{ rank: dt_rank, layers: 1 },
    });
    mixer.loadStateDict(await valuesOf(fixture));
    return outputsOf(fixture, mixer, () => ({ y: mixer.forward(fixture.in("x")).y }));
  },

  mamba_lm: async (fixture) => languageOutputs(fixture, mambaFromCheckpoint(fixture.device, await valuesOf(fixture))),
};
