/** The workloads' language models, holding the workloads' weights. */
import type { Device } from "../../../src/gpu/device.ts";
import { RecurrentLanguageModel } from "../../../src/models/recurrent.ts";
import { TransformerLanguageModel } from "../../../src/models/transformer.ts";
import type { Floats, GptTrain, LstmParameters } from "../workloads.ts";

/** PyTorch's layout of the workload's (in, out) weights. */
function transposed({ shape: [rows = 0, columns = 0], data }: Floats) {
  return {
    shape: [columns, rows],
    values: Float32Array.from(data, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)] as number),
  };
}
const same = ({ shape, data }: Floats) => ({ shape, values: data });

/** The workload's one bias is the input's, the other stays 0. */
export function lstm(
  device: Device,
  { V, E, H }: { V: number; E: number; H: number },
  p: LstmParameters,
): RecurrentLanguageModel {
  const sizes = { vocabSize: V, embeddingSize: E, hiddenSize: H, numLayers: 1, dropout: 0 };
  const model = new RecurrentLanguageModel(device, { kind: "lstm", ...sizes });
  model.loadStateDict(
    new Map([
      ["encoder.weight", same(p.emb)],
      ["rnn.weight_ih_l0", transposed(p.wx)],
      ["rnn.weight_hh_l0", transposed(p.wh)],
      ["rnn.bias_ih_l0", same(p.b)],
      ["rnn.bias_hh_l0", { shape: [4 * H], values: new Float32Array(4 * H) }],
      ["decoder.weight", transposed(p.wo)],
      ["decoder.bias", same(p.bo)],
    ]),
  );
  return model;
}

/** nanoGPT's names for the workload's weights. */
export function gpt(device: Device, { sizes: { V, C, L, NH, T }, parameters }: GptTrain): TransformerLanguageModel {
  const shape = { vocabSize: V, channels: C, heads: NH, numLayers: L, contextLength: T };
  const model = new TransformerLanguageModel(device, { kind: "transformer", ...shape, tiedHead: false });
  const part = (name: string) => parameters[name] as Floats;
  const blocks = Array.from({ length: L }, (_, layer) => {
    const own = (name: string) => part(`l${layer}_${name}`);
    const block = `transformer.h.${layer}`;
    return [
      [`${block}.ln_1.weight`, same(own("ln1g"))],
      [`${block}.ln_1.bias`, same(own("ln1b"))],
      [`${block}.attn.c_attn.weight`, transposed(own("wqkv"))],
      [`${block}.attn.c_attn.bias`, same(own("bqkv"))],
      [`${block}.attn.c_proj.weight`, transposed(own("wo"))],
      [`${block}.attn.c_proj.bias`, same(own("bo"))],
      [`${block}.ln_2.weight`, same(own("ln2g"))],
      [`${block}.ln_2.bias`, same(own("ln2b"))],
      [`${block}.mlp.c_fc.weight`, transposed(own("w1"))],
      [`${block}.mlp.c_fc.bias`, same(own("b1"))],
      [`${block}.mlp.c_proj.weight`, transposed(own("w2"))],
      [`${block}.mlp.c_proj.bias`, same(own("b2"))],
    ] as const;
  });
  model.loadStateDict(
    new Map([
      ["transformer.wte.weight", same(part("tok"))],
      ["transformer.wpe.weight", same(part("pos"))],
      ...blocks.flat(),
      ["transformer.ln_f.weight", same(part("lnfg"))],
      ["transformer.ln_f.bias", same(part("lnfb"))],
      ["lm_head.weight", transposed(part("head"))],
    ]),
  );
  return model;
}
