import type { ModelConfig } from "../language.ts";

/** Every size of a RetNet; `completeRetNet` fills in what a person need not choose. */
export interface RetNetConfig extends ModelConfig {
  readonly kind: "retnet";
  /** C */
  readonly channels: number;
  readonly heads: number;
  readonly numLayers: number;
  /** Width of the values; twice the channels as published. */
  readonly valueChannels: number;
  /** Inner width of the feed-forward half; twice the channels as published. */
  readonly hiddenSize: number;
  /** Added to mean squares; 1e-6. */
  readonly eps: number;
  /** As torchscale's models are trained; takes memory for T^2 scores. Off. */
  readonly normaliseScores: boolean;
}

/** The published sizes for whatever is left out. */
export function completeRetNet(given: ModelConfig): RetNetConfig {
  const channels = given.channels as number;
  return {
    valueChannels: 2 * channels,
    hiddenSize: 2 * channels,
    eps: 1e-6,
    normaliseScores: false,
    ...given,
  } as RetNetConfig;
}

/** Trainable values of a configuration, without building it. */
export function retnetParameterCount(given: ModelConfig): number {
  const { vocabSize, channels: C, numLayers, valueChannels, hiddenSize } = completeRetNet(given);
  return 2 * vocabSize * C + C + numLayers * (2 * C + 2 * C * C + 3 * C * valueChannels + 3 * C * hiddenSize);
}
