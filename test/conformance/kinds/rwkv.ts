import { rwkvConfigOf } from "../../../src/models/rwkv/load.ts";
import { RwkvLanguageModel } from "../../../src/models/rwkv/model.ts";
import { timeMix } from "../../../src/nn/rwkv/block.ts";
import { ChannelMix } from "../../../src/nn/rwkv/channelMix.ts";
import { TimeMix7 } from "../../../src/nn/rwkv/timeMix7.ts";
import { Random } from "../../../src/tensor/philox.ts";
import type { Kind } from "../kind.ts";
import { languageOutputs, outputsOf, valuesOf } from "../module.ts";

export const kinds: Record<string, Kind> = {
  rwkv_block: async (fixture) => {
    const { version, C, F, H, ln_x_eps, head_size_divisor } = fixture.attrs;
    const { device } = fixture;
    const values = await valuesOf(fixture);
    const depth = { layer: 1, layers: 2, channels: C, random: new Random(1) };
    const rank = (name: string, axis: number) => values.get(name)?.shape[axis] ?? 0;
    if (!values.has("output.weight")) {
      const mix = new ChannelMix(device, version, { ...depth, hidden: F });
      mix.loadStateDict(values);
      return outputsOf(fixture, mix, () => ({ y: mix.forward(fixture.in("x")).y }));
    }
    const ranks = {
      mix: rank("time_maa_w2", 1),
      decay: rank("time_decay_w1", 1) + rank("w1", 1),
      rate: rank("a1", 1),
      value: rank("v1", 1),
      gate: rank("g1", 1),
    };
    const headEps = ln_x_eps * (head_size_divisor ?? 1) ** 2;
    const mix = timeMix(device, version, { ...depth, heads: H, ranks, headEps });
    mix.loadStateDict(values);
    const x = fixture.in("x");
    return outputsOf(fixture, mix, () => ({
      y: (mix instanceof TimeMix7 ? mix.forward(x, { firstValue: fixture.in("v_first") }) : mix.forward(x)).y,
    }));
  },

  rwkv_lm: async (fixture) => {
    const values = await valuesOf(fixture);
    const config = rwkvConfigOf(values, fixture.attrs.ln_x_eps ?? undefined);
    const model = new RwkvLanguageModel(fixture.device, config);
    model.loadStateDict(values);
    return languageOutputs(fixture, model);
  },
};
