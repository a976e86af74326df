import { OstinatoError } from "../../src/gpu/errors.ts";
import type { ModelConfig } from "../../src/models/language.ts";
import { modelKind } from "../../src/models/registry.ts";
import { splitIds } from "../../src/text/corpus.ts";
import type { Plan, SeenLimits, Settings } from "../protocol.ts";
import { plain } from "./failure.ts";
import { configOf, optionsOf } from "./models.ts";
import type { ReadText } from "./texts.ts";

/** Weights, gradients and AdamW's two moments. */
const COPIES = 4;
const BYTES = 4;
/** Row blocks of the recurrent weights: what a cell computes for each hidden unit. */
const GATES: Readonly<Record<string, number>> = { rnn: 1, gru: 3, lstm: 4 };
/** Values that a layer keeps a channel and position, measured: peak bytes of training at several depths. */
const KEPT: Readonly<Record<string, number>> = {
  ...{ rnn: 3, gru: 7, lstm: 7.5, transformer: 22, retnet: 35, mamba: 26 },
  ...{ rwkv4: 29, "rwkv5.1": 34, "rwkv5.2": 34, rwkv6: 70, rwkv7: 65 },
};
const KEPT_AT_MOST = Math.max(...Object.values(KEPT));
/** A layer's gradients that exist beside what all layers keep, in layers. */
const BACKWARD = 0.6;
/** The inner width of a feed-forward layer, in channels. */
const INNER = 4;

/** What a run would need on a device of these limits, or why it cannot run. Builds nothing. */
export function planRun(settings: Settings, text: ReadText, limits: SeenLimits): Plan {
  const vocabSize = text.tokenizer.vocabSize;
  const config = configOf(settings, vocabSize);
  const options = optionsOf(config);
  const refused = (sentence: string): Plan => ({ parameters: 0, memoryBytes: 0, options, obstacle: sentence });
  const { channels = 0, heads = 1 } = config as { channels?: number; heads?: number };
  if (channels % heads !== 0)
    return refused(`A width of ${channels} does not divide into ${heads} heads. Choose heads that divide it.`);
  let parameters: number;
  try {
    parameters = modelKind(settings.model).parameterCount(config);
  } catch (error) {
    if (error instanceof OstinatoError) return refused(plain(error.message));
    throw error;
  }
  const limit = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  const tooLarge = largest(settings, vocabSize).find(({ values }) => values * BYTES > limit);
  return {
    parameters,
    memoryBytes: BYTES * (COPIES * parameters + activations(settings, config)),
    options,
    obstacle: tooLarge
      ? `${tooLarge.what} take ${mebibytes(tooLarge.values * BYTES)} MB, and this device binds at most ${mebibytes(limit)} MB at once. ${tooLarge.cure}.`
      : textObstacle(settings, text),
  };
}

/** Values that a training step keeps for its backward pass. */
function activations({ model, batch, sequence, width, layers }: Settings, config: ModelConfig): number {
  const { vocabSize, embeddingSize = 0 } = config as ModelConfig & { embeddingSize?: number };
  const each = (layers + BACKWARD) * width * (KEPT[model] ?? KEPT_AT_MOST);
  // The logits, their gradient and their softmax; an embedding narrower than the layers, and its gradient.
  return batch * sequence * (each + 3 * vocabSize + 2 * embeddingSize);
}

/** The tensors of a model that may be larger than a device binds at once. */
function largest({ model, batch, sequence, width }: Settings, vocabSize: number) {
  const positions = batch * sequence;
  const gates = GATES[model];
  const cure = "Choose a smaller width";
  const cures = `${cure}, batch or sequence`;
  const layer = gates
    ? [
        { what: "The recurrent weights of a layer", values: gates * width * width, cure },
        { what: "The gates of a batch", values: gates * width * positions, cure: cures },
      ]
    : [
        { what: "The weights of a feed-forward layer", values: INNER * width * width, cure },
        { what: "The inner values of a batch", values: INNER * width * positions, cure: cures },
      ];
  return [
    ...layer,
    { what: "The predictions of a batch", values: vocabSize * positions, cure: "Choose a smaller batch or sequence" },
  ];
}

const mebibytes = (bytes: number): string => Math.ceil(bytes / 2 ** 20).toLocaleString("en");

function textObstacle({ batch, sequence }: Settings, { ids }: ReadText): string | null {
  try {
    splitIds(ids, { batchSize: batch, seqLength: sequence });
    return null;
  } catch (error) {
    if (error instanceof OstinatoError) return plain(error.message);
    throw error;
  }
}
