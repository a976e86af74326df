import { ValueError } from "../gpu/errors.ts";

/** How a token is drawn from logits; what is left out takes its default. */
export interface SamplingOptions {
  /** Logits are divided by it; below 1 sharper, 0 always the best token. Default 1. */
  readonly temperature?: number;
  /** Only the k best tokens; 0 (default): all. */
  readonly topK?: number;
  /** Only the best tokens whose probabilities reach p together, at least one; 1 (default): all. */
  readonly topP?: number;
  /** Only tokens at least this share as probable as the best; 0 (default): all. */
  readonly minP?: number;
  /** Logits of tokens that occurred are divided by it if positive, else multiplied; 1 (default): no penalty. */
  readonly repetitionPenalty?: number;
  /** Starts the random numbers anew, an integer from 0 to 2^53 - 1; left out, they go on. */
  readonly seed?: number;
}

/** All settings but the seed. */
export type SamplingSettings = Required<Omit<SamplingOptions, "seed">>;

const defaults: SamplingSettings = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 };

/** What each setting must be, in words and as a test. */
const ranges: { readonly [K in keyof SamplingSettings]: readonly [string, (value: number) => boolean] } = {
  temperature: ["a number of 0 or more", (value) => value >= 0 && Number.isFinite(value)],
  topK: ["a whole number of 0 (no limit) or more", (value) => Number.isInteger(value) && value >= 0],
  topP: ["a number from 0 to 1 (no limit)", (value) => value >= 0 && value <= 1],
  minP: ["a number from 0 (no limit) to 1", (value) => value >= 0 && value <= 1],
  repetitionPenalty: ["a number above 0, where 1 is no penalty", (value) => value > 0 && Number.isFinite(value)],
};

/**
 * Settings with the defaults filled in.
 * @throws ValueError naming the setting that is out of its range
 */
export function samplingSettings(options: SamplingOptions): SamplingSettings {
  const names = Object.keys(defaults) as (keyof SamplingSettings)[];
  const entries = names.map((name) => {
    const value = options[name] ?? defaults[name];
    const [words, allowed] = ranges[name];
    if (!allowed(value)) throw new ValueError(`sample: ${name} is ${value}; it must be ${words}`);
    return [name, value] as const;
  });
  return Object.fromEntries(entries) as unknown as SamplingSettings;
}

/** A row of the kernel's settings. */
export function settingWords(settings: SamplingSettings): number[] {
  const { temperature, topK, topP, minP, repetitionPenalty } = settings;
  return [temperature, topK, topP, minP, repetitionPenalty, 0, 0, 0];
}
