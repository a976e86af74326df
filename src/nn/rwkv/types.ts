import type { Random } from "../../tensor/philox.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { Depth } from "./init.ts";
import type { Padding } from "./padding.ts";

/** Versions by the names of their published code; 5.1 is the earliest 5, without a gate and with one decay a head. */
export type RwkvVersion = "4" | "5.1" | "5.2" | "6" | "7";

export interface TimeMixOptions extends Depth {
  /** C */
  readonly channels: number;
  /** H; version 4 has none. */
  readonly heads: number;
  /** Inner sizes of the low-rank maps of versions 6 and 7. */
  readonly ranks: Ranks;
  /** Added to the variance of a head when its output is normalised. */
  readonly headEps: number;
  readonly random: Random;
}

/** Version 6: `mix` and `decay`; version 7: `decay`, `rate`, `value` and `gate`. */
export interface Ranks {
  readonly mix?: number;
  readonly decay?: number;
  readonly rate?: number;
  readonly value?: number;
  readonly gate?: number;
}

/** What a mix may be told besides its input. */
export interface MixContext<State extends ShiftState = TimeMixState> {
  readonly state?: State | undefined;
  readonly padding?: Padding | null;
  /** Version 7: the values of the first layer, which the others mix in. */
  readonly firstValue?: Tensor | undefined;
}

export interface ChannelMixOptions extends Depth {
  readonly channels: number;
  /** Inner width, F. */
  readonly hidden: number;
  readonly random: Random;
}

/** What a mix remembers: the last step that came in, [B, C]. */
export interface ShiftState {
  readonly shift: Tensor;
}

/** And the recurrence: [3, B, C] in version 4, [B, H, N, N] in the others. */
export interface TimeMixState extends ShiftState {
  readonly wkv: Tensor;
}

export interface ChannelMixResult {
  readonly y: Tensor<"f32">;
  readonly state: { readonly shift: Tensor<"f32"> };
}

export interface TimeMixResult {
  readonly y: Tensor<"f32">;
  readonly state: { readonly shift: Tensor<"f32">; readonly wkv: Tensor<"f32"> };
  /** Version 7: the values of the first layer, for those after it. */
  readonly firstValue?: Tensor;
}
