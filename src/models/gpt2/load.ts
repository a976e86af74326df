import type { Device } from "../../gpu/device.ts";
import { FileError } from "../../gpu/errors.ts";
import type { HostTensor, StateDict } from "../../nn/module.ts";
import { type Shape, sameShape, show } from "../../tensor/shape.ts";
import { transposed } from "../fileState.ts";
import { filled, type WeightOptions } from "../filled.ts";
import { TransformerLanguageModel } from "../transformer.ts";
import type { TransformerConfig } from "../transformerConfig.ts";

/** Shapes by name, as the header of a file tells them before the values are read. */
type Shapes = ReadonlyMap<string, { readonly shape: Shape }>;

/** What the names and shapes of a file do not tell. */
export interface Gpt2Options extends WeightOptions {
  /** Default: heads of 64 channels, as in all published sizes. */
  readonly heads?: number;
  /** Layers that the file must have; default: as many as it has. */
  readonly numLayers?: number;
  /** While training; default 0. */
  readonly dropout?: number;
  /** Keep keys and values as halves in generation; default false. */
  readonly halfCache?: boolean;
}

/** Channels of a head in every published GPT-2. */
const HEAD_SIZE = 64;
const PREFIX = "transformer.";
const HEAD = "lm_head.weight";
/** Masks that published files hold and nothing needs. */
const MASK = /^h\.\d+\.attn\.(masked_)?bias$/;
/** Matrices that published files store as [in, out], from a layer that was called Conv1D. */
const MATRIX = /^h\.\d+\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight$/;

/**
 * The sizes of a GPT-2 checkpoint, read off its names and shapes: those published (`wte.weight`, `h.0.attn.c_attn.weight`,
 * ..., with or without `transformer.` in front), or nanoGPT's.
 * @throws FileError if it is no GPT-2, or a layer is missing
 */
export function gpt2ConfigOf(
  file: Shapes,
  { heads, numLayers, dropout = 0, halfCache = false }: Gpt2Options = {},
): TransformerConfig {
  const shapes = named(file);
  const matrix = (name: string): readonly [number, number] => {
    const shape = shapes.get(name)?.shape;
    if (shape?.length === 2) return shape as readonly [number, number];
    throw new FileError(
      "gpt2-checkpoint",
      shape
        ? `gpt2: ${name} is ${show(shape)} and must be a matrix; the file is not a GPT-2 checkpoint`
        : `gpt2: the file has no ${name}; it is not a GPT-2 checkpoint, or not all of one`,
    );
  };
  const [vocabSize, channels] = matrix("wte.weight");
  const [contextLength] = matrix("wpe.weight");
  matrix("h.0.attn.c_attn.weight");
  const layers = new Set([...shapes.keys()].flatMap((name) => /^h\.(\d+)\./.exec(name)?.[1] ?? []).map(Number));
  const count = numLayers ?? Math.max(...layers) + 1;
  const missing = Array.from({ length: count }, (_, layer) => layer).filter((layer) => !layers.has(layer));
  if (missing.length > 0) {
    throw new FileError(
      "gpt2-layers",
      `gpt2: the file lacks layer ${missing.join(", ")} of ${count}; use all parts of the checkpoint`,
    );
  }
  const parts = heads ?? channels / HEAD_SIZE;
  if (!Number.isInteger(parts) || parts < 1 || channels % parts !== 0) {
    throw new FileError(
      "gpt2-heads",
      `gpt2: the file's ${channels} channels do not divide into ${heads === undefined ? `heads of ${HEAD_SIZE}` : `${heads} heads`}; give the number of heads that it was trained with`,
    );
  }
  const sizes = { vocabSize, channels, heads: parts, numLayers: count, contextLength };
  return { kind: "transformer", ...sizes, dropout, positions: "learned", tiedHead: true, halfCache };
}

/**
 * A Transformer with the weights of a GPT-2 checkpoint, Hugging Face's (whose matrices are stored transposed) or nanoGPT's.
 * The head is tied to the embedding; an `lm_head.weight` must be equal to it. Values are read one tensor at a time, so a
 * state dict may convert them when asked.
 * Radford et al. 2019, Language Models are Unsupervised Multitask Learners.
 * @throws FileError if it is no GPT-2, or lists what is missing, unexpected or misshaped; nothing stays on the device then
 */
export function gpt2FromCheckpoint(
  device: Device,
  state: StateDict,
  options: Gpt2Options = {},
): TransformerLanguageModel {
  const config = gpt2ConfigOf(state, options);
  const file = named(state);
  const stored = (file.get("h.0.attn.c_attn.weight") as HostTensor).shape;
  const [C, wide] = [config.channels, 3 * config.channels];
  const turned = sameShape(stored, [C, wide]);
  if (!turned && !sameShape(stored, [wide, C])) {
    throw new FileError(
      "gpt2-checkpoint",
      `gpt2: h.0.attn.c_attn.weight is ${show(stored)} and must be [${C}, ${wide}] or, as nanoGPT stores it, [${wide}, ${C}]; the file is not a GPT-2 checkpoint`,
    );
  }
  checkHead(file);
  const fitted = new Map<string, HostTensor>();
  for (const [name, value] of file) {
    if (MASK.test(name) || name === HEAD) continue;
    fitted.set(PREFIX + name, turned && MATRIX.test(name) && value.shape.length === 2 ? transposed(value) : value);
  }
  return filled(
    (init) => new TransformerLanguageModel(device, config, init),
    () => fitted,
    options,
  );
}

/** By published names, without `transformer.` in front. */
function named<T>(file: ReadonlyMap<string, T>): Map<string, T> {
  return new Map([...file].map(([name, value]) => [name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name, value]));
}

function checkHead(file: StateDict): void {
  const [head, table] = [file.get(HEAD), file.get("wte.weight") as HostTensor];
  if (!head) return;
  const values = head.values;
  const rows = table.values;
  if (sameShape(head.shape, table.shape) && values.every((value, i) => value === rows[i])) return;
  throw new FileError(
    "gpt2-head",
    `gpt2: ${HEAD} ${show(head.shape)} differs from wte.weight ${show(table.shape)}; GPT-2's head is tied to its embedding, so this is another model`,
  );
}
