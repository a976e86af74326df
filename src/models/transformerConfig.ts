import { ValueError } from "../gpu/errors.ts";
import { type Positions, positionKinds } from "../nn/positions.ts";
import type { ModelConfig } from "./language.ts";

/** Sizes and variants of a `TransformerLanguageModel`. */
export interface TransformerConfig extends ModelConfig {
  readonly kind: "transformer";
  readonly channels: number;
  readonly heads: number;
  readonly numLayers: number;
  /** Tokens that a token sees, itself included; with learned or sinusoidal positions also the longest text. */
  readonly contextLength: number;
  readonly dropout: number;
  /** `learned` if left out, as in GPT-2. Only `rotary` has no end. */
  readonly positions: Positions;
  /** The head's weights are the embedding's, as in GPT-2: the default. Otherwise they are `lm_head.weight`. */
  readonly tiedHead: boolean;
  /** Generation keeps keys and values as halves, in half the memory and to about three digits; arithmetic stays f32. Default false. */
  readonly halfCache: boolean;
}

/** A configuration with what may be left out. @throws ValueError if it cannot be built */
export function completeTransformer(given: ModelConfig): TransformerConfig {
  const config = {
    dropout: 0,
    positions: "learned",
    tiedHead: true,
    halfCache: false,
    ...given,
  } as unknown as TransformerConfig;
  const { channels, heads, positions } = config;
  if (channels % heads !== 0) {
    throw new ValueError(
      `transformer: ${channels} channels do not divide into ${heads} heads; make them a multiple of the heads`,
    );
  }
  if (!positionKinds.includes(positions)) {
    throw new ValueError(`transformer: positions are ${positions}; use ${positionKinds.join(", ")}`);
  }
  if (positions === "rotary" && (channels / heads) % 2 !== 0) {
    throw new ValueError(
      `transformer: rotary positions need heads of even size, and ${channels} channels in ${heads} heads make ${channels / heads}; change either`,
    );
  }
  return config;
}
