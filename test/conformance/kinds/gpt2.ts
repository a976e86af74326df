import { TransformerBlock } from "../../../src/nn/transformer.ts";
import type { Kind } from "../kind.ts";
import { outputsOf, valuesOf } from "../module.ts";

export const kinds: Record<string, Kind> = {
  gpt2_block: async (fixture) => {
    const { C, H } = fixture.attrs;
    const block = new TransformerBlock(fixture.device, { channels: C, heads: H, layers: 1 });
    block.loadStateDict(await valuesOf(fixture));
    return outputsOf(fixture, block, () => ({ y: block.forward(fixture.in("x")) }));
  },
};
