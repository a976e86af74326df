import type { HostTensor } from "../../../src/nn/module.ts";
import { TransformerBlock } from "../../../src/nn/transformer.ts";
import type { Tensor } from "../../../src/tensor/tensor.ts";
import type { Kind } from "../kind.ts";

export const kinds: Record<string, Kind> = {
  gpt2_block: async (fixture) => {
    const { C, H } = fixture.attrs;
    const block = new TransformerBlock(fixture.device, { channels: C, heads: H, layers: 1 });
    const state = new Map<string, HostTensor>();
    for (const [name] of block.namedParameters()) {
      const parameter = fixture.param(name);
      state.set(name, { shape: parameter.shape, values: await parameter.data() });
    }
    block.loadStateDict(state);
    const y = block.forward(fixture.in("x"));
    const outputs: Record<string, Tensor> = { y };
    fixture.onGradients(() => {
      for (const [name, parameter] of block.namedParameters()) {
        if (parameter.grad) outputs[`grad.${name}`] = parameter.grad;
      }
    });
    return outputs;
  },
};
