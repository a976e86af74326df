import type { Device } from "../gpu/device.ts";
import type { Module } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { ModelState } from "./state.ts";

/** What a checkpoint needs to build a model again; each kind adds its sizes. */
export interface ModelConfig {
  /** Name in the registry, for instance `lstm`. */
  readonly kind: string;
  readonly vocabSize: number;
  readonly [option: string]: string | number | boolean;
}

/** What the parallel form gives. */
export interface Forward {
  /** [B, T, V] */
  readonly logits: Tensor<"f32">;
  /** After the last token. */
  readonly state: ModelState;
}

/** Options of the parallel form. */
export interface ForwardOptions {
  /**
   * [B] u32 or i32: tokens of each text in a batch padded on the right. Padding changes nothing: the state is that after
   * each text's own last token, from which its decoder goes on. Kinds that cannot tell padding refuse it.
   */
  readonly lengths?: Tensor | null;
}

/**
 * A language model in its two forms. A test proves that they agree.
 */
export interface LanguageModel extends Module {
  readonly device: Device;
  readonly config: ModelConfig;
  /** Tokens that a text can have at most; infinite for recurrent models, 2^24 with rotary positions. */
  readonly contextLength: number;
  /**
   * Parallel form, for training and prompts: token ids [B, T] from a state (that of `initialState` if left out).
   * A state with a cache is written in place, and takes no gradient.
   */
  forward(tokens: Tensor, state?: ModelState, options?: ForwardOptions): Forward;
  /** The state before the first token, for `batch` texts; outlives scopes. */
  initialState(batch: number): ModelState;
  /** Recurrent form, for generation. Reads the weights as they are now; make a new one after training on. */
  decoder(): Decoder;
}

/** One token at a time, with constant work and memory for recurrent models. */
export interface Decoder {
  /** Token ids [B] (u32) -> logits [B, V] and the next state; runs without recording gradients. */
  step(tokens: Tensor, state: ModelState): Forward;
  dispose(): void;
}
