import type { Device } from "../../gpu/device.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { Module } from "../module.ts";
import { LayerNorm } from "../norm.ts";
import { ChannelMix } from "./channelMix.ts";
import { TimeMix4 } from "./timeMix4.ts";
import { TimeMix5 } from "./timeMix5.ts";
import { TimeMix6 } from "./timeMix6.ts";
import { TimeMix7 } from "./timeMix7.ts";
import type { MixContext, RwkvVersion, ShiftState, TimeMixOptions, TimeMixResult, TimeMixState } from "./types.ts";

export interface RwkvBlockOptions extends TimeMixOptions {
  /** Inner width of the channel mix, F. */
  readonly hidden: number;
}

export interface BlockState {
  readonly att: TimeMixState;
  readonly ffn: ShiftState;
}

/** What a block may be told besides its input. */
export interface BlockContext extends Omit<MixContext, "state"> {
  readonly state?: BlockState | undefined;
}

/** The stream of a model between blocks: what comes next adds the update, in the launch of its own first norm. */
export interface Stream {
  readonly x: Tensor;
  readonly update: Tensor | null;
}

export interface BlockResult {
  readonly stream: Stream;
  readonly state: {
    readonly att: TimeMixResult["state"];
    readonly ffn: { readonly shift: Tensor<"f32"> };
  };
  readonly firstValue?: Tensor | undefined;
}

/** The attention half of a version. */
export function timeMix(device: Device, version: RwkvVersion, options: TimeMixOptions) {
  if (version === "4") return new TimeMix4(device, options);
  if (version === "6") return new TimeMix6(device, options);
  if (version === "7") return new TimeMix7(device, options);
  return new TimeMix5(device, version === "5.1", options);
}

/** x = x + att(LN(x)), x = x + ffn(LN(x)); the first block also normalises the embedding (`ln0`). */
export class RwkvBlock extends Module {
  private readonly norm0: LayerNorm | null;
  private readonly norm1: LayerNorm;
  private readonly norm2: LayerNorm;
  private readonly att: ReturnType<typeof timeMix>;
  private readonly ffn: ChannelMix;

  constructor(device: Device, version: RwkvVersion, options: RwkvBlockOptions) {
    super();
    const { channels, layer } = options;
    this.norm0 = layer === 0 ? this.child("ln0", new LayerNorm(device, channels)) : null;
    this.norm1 = this.child("ln1", new LayerNorm(device, channels));
    this.norm2 = this.child("ln2", new LayerNorm(device, channels));
    this.att = this.child("att", timeMix(device, version, options));
    this.ffn = this.child("ffn", new ChannelMix(device, version, options));
  }

  forward({ x, update }: Stream, { state, padding = null, firstValue }: BlockContext = {}): BlockResult {
    const before = this.norm1.add(this.norm0 ? this.norm0.forward(x) : x, update);
    const att = this.att.forward(before.y, { state: state?.att, padding, firstValue });
    const between = this.norm2.add(before.stream, att.y);
    const ffn = this.ffn.forward(between.y, { state: state?.ffn, padding });
    return {
      stream: { x: between.stream, update: ffn.y },
      state: { att: att.state, ffn: ffn.state },
      firstValue: att.firstValue,
    };
  }
}
