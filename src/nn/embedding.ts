import type { Device } from "../gpu/device.ts";
import { embedding } from "../ops/embedding.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type InitOptions, normalInit, randomOf } from "./init.ts";
import { Module, type Parameter } from "./module.ts";

/** Rows of a table by token id, as torch.nn.Embedding; initialised N(0, std^2), std 1 unless given. */
export class Embedding extends Module {
  /** [numEmbeddings, embeddingDim] */
  readonly weight: Parameter;
  private readonly paddingIdx: number | undefined;

  constructor(
    device: Device,
    numEmbeddings: number,
    embeddingDim: number,
    options: InitOptions & { readonly paddingIdx?: number; readonly std?: number } = {},
  ) {
    super();
    const { std = 1 } = options;
    this.paddingIdx = options.paddingIdx;
    this.weight = this.matrix("weight", normalInit(device, [numEmbeddings, embeddingDim], std, randomOf(options)));
  }

  /** Ids [...] (i32 or u32) -> [..., embeddingDim] */
  forward(ids: Tensor): Tensor<"f32"> {
    return embedding(this.weight, ids, this.paddingIdx === undefined ? {} : { paddingIdx: this.paddingIdx });
  }
}
