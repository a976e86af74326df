import { OstinatoError } from "../../src/gpu/errors.ts";
import type { ModelConfig } from "../../src/models/language.ts";
import { modelKind } from "../../src/models/registry.ts";
import { splitIds } from "../../src/text/corpus.ts";
import type { Plan, SeenLimits, Settings } from "../protocol.ts";
import { plain } from "./failure.ts";
import { configOf, optionsOf } from "./models.ts";
import type { ReadText } from "./texts.ts";

const BYTES = 4;
/** Row blocks of the recurrent weights: what a cell computes for each hidden unit. */
const GATES: Readonly<Record<string, number>> = { rnn: 1, gru: 3, lstm: 4 };
/** What a run holds of each parameter and each position, in values; fitted to the peaks of runs at seven sizes. */
interface Held {
  /** Of a parameter: itself, its gradient, AdamW's two moments, and what a step makes of weights on the way. */
  readonly copies: number;
  /** Of a layer, a channel and a position, in a training step and in an evaluation. */
  readonly kept: number;
  /** Gradients and the like that exist beside what all layers keep, in layers. */
  readonly beside: number;
}
const held = (copies: number, kept: number, beside: number): Held => ({ copies, kept, beside });
const HELD: Readonly<Record<string, Held>> = {
  ...{ rnn: held(6.5, 3.9, 1), gru: held(5.5, 5.9, 2.5), lstm: held(5.5, 6.8, 2) },
  ...{ transformer: held(5, 38.3, 0.5), retnet: held(4.5, 62.2, 0.5), mamba: held(5, 37.7, 1) },
  ...{ rwkv4: held(4.5, 49.2, 0.5), "rwkv5.1": held(5.5, 51.3, 0.5), "rwkv5.2": held(5, 57.7, 0.5) },
  ...{ rwkv6: held(6, 84.7, 0.5), rwkv7: held(4.5, 87.7, 0.5) },
};
const HELD_AT_MOST = held(6.5, 87.7, 1);
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
    memoryBytes: BYTES * valuesHeld(settings, config, parameters),
    options,
    obstacle: tooLarge
      ? `${tooLarge.what} take ${mebibytes(tooLarge.values * BYTES)} MB, and this device binds at most ${mebibytes(limit)} MB at once. ${tooLarge.cure}.`
      : textObstacle(settings, text),
  };
}

/** Values that a run holds at most: its parameters, what a step keeps for its backward pass, and an evaluation beside it. */
function valuesHeld(settings: Settings, config: ModelConfig, parameters: number): number {
  const { model, batch, sequence, width, layers } = settings;
  const { vocabSize, embeddingSize = 0 } = config as ModelConfig & { embeddingSize?: number };
  const { copies, kept, beside } = HELD[model] ?? HELD_AT_MOST;
  // The logits and their gradient, and those of an evaluation; embeddings narrower than the layers.
  const each = (layers + beside) * width * kept + 3 * vocabSize + 3 * embeddingSize;
  return copies * parameters + batch * sequence * each;
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
