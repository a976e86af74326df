/** Small models under their published names, as other programs write them. */

/** Tensors of a file, in order. */
export type Published = ReadonlyMap<string, { readonly shape: number[]; readonly data: Float32Array<ArrayBuffer> }>;

const CHANNELS = 64;
const INNER = 4 * CHANNELS;
const vector = [CHANNELS];
const square = [CHANNELS, CHANNELS];

export const RWKV4 = { kind: "rwkv4", vocabSize: 256, channels: CHANNELS, numLayers: 3 } as const;

/** An RWKV-4 whose tokens are bytes, so that it needs no tokenizer, and that writes small letters. */
export function rwkv4(): Published {
  const layer = {
    ...{ "ln1.weight": vector, "ln1.bias": vector, "ln2.weight": vector, "ln2.bias": vector },
    ...{ "att.time_decay": vector, "att.time_first": vector },
    ...{ "att.time_mix_k": [1, 1, CHANNELS], "att.time_mix_v": [1, 1, CHANNELS], "att.time_mix_r": [1, 1, CHANNELS] },
    ...{ "att.key.weight": square, "att.value.weight": square },
    ...{ "att.receptance.weight": square, "att.output.weight": square },
    ...{ "ffn.time_mix_k": [1, 1, CHANNELS], "ffn.time_mix_r": [1, 1, CHANNELS] },
    ...{ "ffn.key.weight": [INNER, CHANNELS], "ffn.receptance.weight": square, "ffn.value.weight": [CHANNELS, INNER] },
  };
  const tensors = filled([
    ["emb.weight", [RWKV4.vocabSize, CHANNELS]],
    ["blocks.0.ln0.weight", vector],
    ["blocks.0.ln0.bias", vector],
    ...layers("blocks", RWKV4.numLayers, layer),
    ["ln_out.weight", vector],
    ["ln_out.bias", vector],
    ["head.weight", [RWKV4.vocabSize, CHANNELS]],
  ]);
  const { data } = tensors.get("head.weight")!;
  data.fill(0, 0, 97 * CHANNELS).fill(0, 123 * CHANNELS);
  return tensors;
}

/** A GPT-2 of one layer and head that takes 32 tokens, as Hugging Face stores it. */
export function gpt2(vocabSize: number, contextLength = 32): Published {
  const layer = {
    ...{ "ln_1.weight": vector, "ln_1.bias": vector, "ln_2.weight": vector, "ln_2.bias": vector },
    ...{ "attn.c_attn.weight": [CHANNELS, 3 * CHANNELS], "attn.c_attn.bias": [3 * CHANNELS] },
    ...{ "attn.c_proj.weight": square, "attn.c_proj.bias": vector },
    ...{ "mlp.c_fc.weight": [CHANNELS, INNER], "mlp.c_fc.bias": [INNER] },
    ...{ "mlp.c_proj.weight": [INNER, CHANNELS], "mlp.c_proj.bias": vector },
  };
  return filled([
    ["wte.weight", [vocabSize, CHANNELS]],
    ["wpe.weight", [contextLength, CHANNELS]],
    ...layers("h", 1, layer),
    ["ln_f.weight", vector],
    ["ln_f.bias", vector],
  ]);
}

type Shapes = readonly (readonly [name: string, shape: number[]])[];

function layers(prefix: string, count: number, layer: Readonly<Record<string, number[]>>): Shapes {
  return Array.from({ length: count }, (_, i) =>
    Object.entries(layer).map(([name, shape]) => [`${prefix}.${i}.${name}`, shape] as const),
  ).flat();
}

function filled(shapes: Shapes): Published {
  return new Map(
    shapes.map(([name, shape], s) => {
      const size = shape.reduce((product, n) => product * n, 1);
      const data = Float32Array.from({ length: size }, (_, n) => (((37 * n + 11 * s) % 101) - 50) / 200);
      return [name, { shape: [...shape], data }];
    }),
  );
}

/** A tokenizer.json of byte pairs over a few letters; the last of its tokens ends a text. */
export function letterPairs(): string {
  const tokens = [..."abcdefghijklmnopqrstuvwxyz", "Ġ", "wh", "al", "wha"];
  const model = {
    type: "BPE",
    vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    merges: ["w h", "a l", "wh a"],
  };
  const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  const flags = { special: true, single_word: false, lstrip: false, rstrip: false };
  const end = { id: tokens.length, content: "<|endoftext|>", ...flags };
  const steps = { normalizer: null, pre_tokenizer: bytes, post_processor: null, decoder: bytes };
  return JSON.stringify({ version: "1.0", added_tokens: [end], ...steps, model });
}
