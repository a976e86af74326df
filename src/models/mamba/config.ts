import { FileError } from "../../gpu/errors.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { ModelConfig } from "../language.ts";

/** Every size of a Mamba model; `completeMamba` fills in what a person need not choose. */
export interface MambaConfig extends ModelConfig {
  readonly kind: "mamba";
  /** C */
  readonly channels: number;
  readonly numLayers: number;
  /** Numbers that each inner channel keeps, N; 16 as published. */
  readonly stateSize: number;
  /** Steps that the convolution sees, K; 4 as published. */
  readonly convWidth: number;
  /** E; twice the channels as published. */
  readonly innerSize: number;
  /** R; a sixteenth of the channels, rounded up, as published. */
  readonly rank: number;
}

/** The published sizes for whatever is left out. */
export function completeMamba(given: ModelConfig): MambaConfig {
  const channels = given.channels as number;
  const published = { stateSize: 16, convWidth: 4, innerSize: 2 * channels, rank: Math.ceil(channels / 16) };
  return { ...published, ...given } as MambaConfig;
}

/** Trainable values of a configuration, without building it. */
export function mambaParameterCount(given: ModelConfig): number {
  const config = completeMamba(given);
  const { vocabSize, channels: C, numLayers, stateSize: N, convWidth: K, innerSize: E, rank: R } = config;
  const layer = C + 3 * E * C + E * (K + 1) + E * (R + 2 * N) + E * (R + 1) + E * N + E;
  return vocabSize * C + numLayers * layer + C;
}

/**
 * The sizes of a Mamba checkpoint, read off its names and shapes.
 * @throws FileError if it is no Mamba checkpoint
 */
export function mambaConfigOf(state: ReadonlyMap<string, { readonly shape: Shape }>): MambaConfig {
  const size = (name: string, axis: number): number => {
    const found = state.get(name)?.shape[axis];
    if (found === undefined) {
      throw new FileError(
        "mamba-checkpoint",
        `mamba: the file has no ${name}; it is not a Mamba checkpoint, or not all of one`,
      );
    }
    return found;
  };
  const layers = [...state.keys()].flatMap((name) => /^backbone\.layers\.(\d+)\./.exec(name)?.[1] ?? []);
  const table = state.has("backbone.embeddings.weight") ? "backbone.embeddings.weight" : "backbone.embedding.weight";
  const mixer = "backbone.layers.0.mixer";
  return {
    kind: "mamba",
    vocabSize: size(table, 0),
    channels: size(table, 1),
    numLayers: Math.max(-1, ...layers.map(Number)) + 1,
    stateSize: size(`${mixer}.A_log`, 1),
    convWidth: size(`${mixer}.conv1d.weight`, 2),
    innerSize: size(`${mixer}.A_log`, 0),
    rank: size(`${mixer}.dt_proj.weight`, 1),
  };
}
