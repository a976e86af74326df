import { OstinatoError } from "../../src/gpu/errors.ts";
import type { ModelConfig } from "../../src/models/language.ts";
import { modelKind } from "../../src/models/registry.ts";
import { splitIds } from "../../src/text/corpus.ts";
import type { Plan, SeenLimits, Settings } from "../protocol.ts";
import { plain } from "./failure.ts";
import type { ReadText } from "./texts.ts";

/** Weights, gradients and AdamW's two moments. */
const COPIES = 4;
const BYTES = 4;
/** Row blocks of the recurrent weights: what a cell computes for each hidden unit. */
const GATES: Readonly<Record<string, number>> = { rnn: 1, gru: 3, lstm: 4 };

/** The engine's configuration of the chosen model. */
export function configOf(settings: Settings, vocabSize: number): ModelConfig {
  return {
    kind: settings.model,
    vocabSize,
    embeddingSize: settings.embedding,
    hiddenSize: settings.hidden,
    numLayers: settings.layers,
    dropout: 0,
  };
}

/** What a run would need on a device of these limits, or why it cannot run. Builds nothing. */
export function planRun(settings: Settings, text: ReadText, limits: SeenLimits): Plan {
  const { batch, sequence, hidden, layers, embedding } = settings;
  const vocabulary = text.tokenizer.vocabSize;
  const gates = GATES[settings.model] ?? 1;
  const positions = batch * sequence;
  const parameters = modelKind(settings.model).parameterCount(configOf(settings, vocabulary));
  // Each position keeps its gates and their gradients, four values a unit, and the logits with their gradient.
  const activations = positions * (layers * hidden * (2 * gates + 4) + 2 * embedding + 3 * vocabulary);
  const bound = [
    { what: "The recurrent weights of a layer", values: gates * hidden * hidden, cure: "Choose a smaller width" },
    {
      what: "The gates of a batch",
      values: gates * hidden * positions,
      cure: "Choose a smaller width, batch or sequence",
    },
    { what: "The predictions of a batch", values: vocabulary * positions, cure: "Choose a smaller batch or sequence" },
  ];
  const limit = Math.min(limits.maxStorageBufferBindingSize, limits.maxBufferSize);
  const tooLarge = bound.find(({ values }) => values * BYTES > limit);
  return {
    parameters,
    memoryBytes: BYTES * (COPIES * parameters + activations),
    obstacle: tooLarge
      ? `${tooLarge.what} take ${mebibytes(tooLarge.values * BYTES)} MB, and this device binds at most ${mebibytes(limit)} MB at once. ${tooLarge.cure}.`
      : textObstacle(settings, text),
  };
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
