import type { RwkvVersion } from "../../nn/rwkv/types.ts";
import type { ModelConfig } from "../language.ts";

export const rwkvVersions: readonly RwkvVersion[] = ["4", "5.1", "5.2", "6", "7"];

export type RwkvKind = `rwkv${RwkvVersion}`;

/** Every size of an RWKV model; `completeConfig` fills in what a person need not choose. */
export interface RwkvConfig extends ModelConfig {
  readonly kind: RwkvKind;
  /** C */
  readonly channels: number;
  /** H; 1 in version 4, which has no heads. */
  readonly heads: number;
  readonly numLayers: number;
  /** Inner width of the channel mix, F. */
  readonly hiddenSize: number;
  /** Added to the variance of a head's output: 64e-5 as the models are trained; some files of version 5 want 1e-5. */
  readonly headEps: number;
  /** Inner sizes of low-rank maps; 0 where the version has none. */
  readonly mixRank: number;
  readonly decayRank: number;
  readonly rateRank: number;
  readonly valueRank: number;
  readonly gateRank: number;
}

export const HEAD_EPS = 64e-5;

export function versionOf(kind: string): RwkvVersion {
  return kind.slice("rwkv".length) as RwkvVersion;
}

/** The published sizes for whatever is left out. */
export function completeConfig(config: ModelConfig): RwkvConfig {
  const version = versionOf(config.kind);
  const channels = config.channels as number;
  const near = (factor: number) => Math.max(32, 32 * Math.round((factor * Math.sqrt(channels)) / 32));
  const ranks = {
    "4": [0, 0, 0, 0, 0],
    "5.1": [0, 0, 0, 0, 0],
    "5.2": [0, 0, 0, 0, 0],
    "6": [32, 64, 0, 0, 0],
    "7": [0, near(2.5), near(2.5), near(1.7), near(5)],
  }[version];
  const [mixRank, decayRank, rateRank, valueRank, gateRank] = ranks as [number, number, number, number, number];
  const hiddenSize = version === "4" || version === "7" ? 4 * channels : Math.floor((3.5 * channels) / 32) * 32;
  const filled = { heads: 1, hiddenSize: Math.max(hiddenSize, 32), headEps: HEAD_EPS };
  return { ...filled, mixRank, decayRank, rateRank, valueRank, gateRank, ...config } as RwkvConfig;
}

/** Trainable values of a configuration, without building it. */
export function rwkvParameterCount(given: ModelConfig): number {
  const config = completeConfig(given);
  const version = versionOf(config.kind);
  const { vocabSize: V, channels: C, heads: H, numLayers: L, hiddenSize: F } = config;
  const { mixRank, decayRank, rateRank, valueRank, gateRank } = config;
  const norms = 2 * C * (2 * L + 2);
  const attention = {
    "4": 4 * C * C + 5 * C,
    "5.1": 4 * C * C + 5 * C + 2 * H,
    "5.2": 5 * C * C + 8 * C,
    "6": 5 * C * C + 10 * C + 10 * mixRank * C + 2 * decayRank * C,
    "7": 4 * C * C + 14 * C + 2 * (decayRank + rateRank + valueRank + gateRank) * C,
  }[version];
  const feedForward = version === "7" ? 2 * C * F + C : 2 * C * F + C * C + 2 * C;
  const withoutResidual = version === "7" ? (2 * valueRank + 1) * C : 0;
  return 2 * V * C + norms + L * (attention + feedForward) - withoutResidual;
}
