/**
 * Names under which models are published, and what this engine calls them. Sources: the state dicts of Transformers'
 * RWKV (versions 4 to 6) and of flash-linear-attention's RWKV-7, beside the original ones.
 */

/** What a tensor of a file is called here. */
export interface Place {
  readonly name: string;
  /** A matrix that is stored the other way round. */
  readonly transposed: boolean;
}

/** Where training programs put a model within their files. */
const WRAPPERS = /^(?:(?:module|model|state_dict|model_state_dict|_orig_mod|_forward_module)\.)+/;
/** What else lies in their files. */
const NO_MODEL = /^(?:optimizers?|optimizer_states?|optimizer_state_dict|lr_schedulers?|scheduler|scaler|callbacks)\./;

type Rule = readonly [pattern: RegExp, replacement: string];

/** Transformers' names of RWKV 4, 5 and 6. */
const RWKV: readonly Rule[] = [
  [/^rwkv\./, ""],
  [/^embeddings\./, "emb."],
  [/^(blocks\.\d+)\.pre_ln\./, "$1.ln0."],
  [/^(blocks\.\d+)\.attention\./, "$1.att."],
  [/^(blocks\.\d+)\.feed_forward\./, "$1.ffn."],
  [/\.time_mix_key$/, ".time_mix_k"],
  [/\.time_mix_value$/, ".time_mix_v"],
  [/\.time_mix_receptance$/, ".time_mix_r"],
  [/\.time_mix_gate$/, ".time_mix_g"],
];

/** flash-linear-attention's names of RWKV-7; its low-rank maps are linear layers. */
const RWKV7: readonly Rule[] = [
  [/^embeddings\./, "emb."],
  [/^norm\./, "ln_out."],
  [/^lm_head\./, "head."],
  [/^layers\.(\d+)\./, "blocks.$1."],
  [/^(blocks\.\d+)\.pre_norm\./, "$1.ln0."],
  [/^(blocks\.\d+)\.attn_norm\./, "$1.ln1."],
  [/^(blocks\.\d+)\.ffn_norm\./, "$1.ln2."],
  [/^(blocks\.\d+)\.attn\./, "$1.att."],
  [/\.g_norm\./, ".ln_x."],
  [/\.r_proj\./, ".receptance."],
  [/\.k_proj\./, ".key."],
  [/\.v_proj\./, ".value."],
  [/\.o_proj\./, ".output."],
  [/\.([wavg])_lora\.lora\.0\.weight$/, ".$11"],
  [/\.([wavg])_lora\.lora\.2\.weight$/, ".$12"],
  [/\.([wavg])_lora\.lora\.2\.bias$/, ".$10"],
];
const TRANSPOSED = /_lora\.lora\.\d\.weight$/;

/** Which rules a file needs, by a name that only such files have. */
const FAMILIES: readonly { readonly mark: RegExp; readonly rules: readonly Rule[] }[] = [
  { mark: /^(?:rwkv\.)?blocks\.\d+\.attention\./, rules: RWKV },
  { mark: /^layers\.\d+\.attn\.w_lora\.lora\./, rules: RWKV7 },
];

/** Where each tensor of a file belongs; those that are no part of a model are left out. */
export function placesOf(names: Iterable<string>): Map<string, Place> {
  const stripped = [...names]
    .filter((name) => !NO_MODEL.test(name))
    .map((name) => [name, name.replace(WRAPPERS, "")] as const);
  const rules = FAMILIES.find(({ mark }) => stripped.some(([, name]) => mark.test(name)))?.rules ?? [];
  return new Map(
    stripped.map(([original, name]) => {
      const renamed = rules.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), name);
      return [original, { name: renamed, transposed: rules.length > 0 && TRANSPOSED.test(name) }];
    }),
  );
}
