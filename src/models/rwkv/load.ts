import type { Device } from "../../gpu/device.ts";
import { FileError } from "../../gpu/errors.ts";
import type { HostTensor, StateDict } from "../../nn/module.ts";
import type { RwkvVersion } from "../../nn/rwkv/types.ts";
import { type Shape, sizeOf } from "../../tensor/shape.ts";
import { reshaped } from "../fileState.ts";
import { filled, type WeightOptions } from "../filled.ts";
import { HEAD_EPS, type RwkvConfig } from "./config.ts";
import { RwkvLanguageModel } from "./model.ts";

/** Shapes by name, as the header of a file tells them before the values are read. */
export type Shapes = ReadonlyMap<string, { readonly shape: Shape }>;

/**
 * The version and sizes of an RWKV checkpoint, read off its names and shapes.
 * @throws FileError if it is no RWKV checkpoint
 */
export function rwkvConfigOf(state: Shapes, headEps = HEAD_EPS): RwkvConfig {
  const size = (name: string, axis: number): number => {
    const found = state.get(name)?.shape.at(axis);
    if (found === undefined) {
      throw new FileError(
        "rwkv-checkpoint",
        `rwkv: the file has no ${name}; it is not an RWKV checkpoint, or not all of one`,
      );
    }
    return found;
  };
  const [vocabSize, channels] = [size("emb.weight", 0), size("emb.weight", 1)];
  const layers = [...state.keys()].flatMap((name) => /^blocks\.(\d+)\./.exec(name)?.[1] ?? []);
  const version = versionIn(state);
  const heads = { "4": () => 1, "5.1": decayHeads, "5.2": decayHeads, "6": bonusHeads, "7": removalHeads }[version];
  function decayHeads() {
    return size("blocks.0.att.time_decay", 0);
  }
  function bonusHeads() {
    return size("blocks.0.att.time_faaaa", 0);
  }
  function removalHeads() {
    return size("blocks.0.att.r_k", 0);
  }
  const rank = (of: readonly RwkvVersion[], name: string, axis: number) =>
    of.includes(version) ? size(name, axis) : 0;
  const numLayers = Math.max(...layers.map(Number)) + 1;
  const present = new Set(layers.map(Number));
  if (present.size < numLayers) {
    const missing = Array.from({ length: present.size + 1 }, (_, layer) => layer).find((layer) => !present.has(layer));
    throw new FileError(
      "rwkv-layers",
      `rwkv: the file lacks layer ${missing} of ${numLayers}; use all parts of the checkpoint`,
    );
  }
  return {
    kind: `rwkv${version}`,
    vocabSize,
    channels,
    heads: heads(),
    numLayers,
    hiddenSize: size("blocks.0.ffn.key.weight", 0),
    headEps,
    mixRank: rank(["6"], "blocks.0.att.time_maa_w2", 1),
    decayRank: rank(["6"], "blocks.0.att.time_decay_w1", 1) + rank(["7"], "blocks.0.att.w1", 1),
    rateRank: rank(["7"], "blocks.0.att.a1", 1),
    valueRank: numLayers > 1 ? rank(["7"], "blocks.1.att.v1", 1) : 0,
    gateRank: rank(["7"], "blocks.0.att.g1", 1),
  };
}

function versionIn(state: Shapes): RwkvVersion {
  const has = (name: string) => state.has(`blocks.0.att.${name}`);
  if (has("r_k")) return "7";
  if (has("time_maa_x")) return "6";
  const decay = state.get("blocks.0.att.time_decay")?.shape;
  if (has("ln_x.weight")) return has("gate.weight") && (decay?.length ?? 0) > 1 ? "5.2" : "5.1";
  if (has("time_decay") && has("time_first") && has("key.weight")) return "4";
  throw new FileError(
    "rwkv-version",
    "rwkv: the file's blocks are of no version that this engine knows (4, 5.1, 5.2, 6 or 7); convert it, or check that it is an RWKV checkpoint",
  );
}

/** Parameters of version 7's first layer that some files have and nothing uses. */
const UNUSED = /^blocks\.0\.att\.v[012]$/;

/**
 * An RWKV model with the values of a checkpoint under its published names. Vectors may have axes of size 1 more or less.
 * @param headEps 1e-5 for files that were made for rwkv.cpp's version 5; default 64e-5
 * @throws FileError if it is no RWKV checkpoint, or lists what is missing, unexpected or misshaped
 */
export function rwkvFromCheckpoint(
  device: Device,
  state: StateDict,
  headEps = HEAD_EPS,
  options: WeightOptions = {},
): RwkvLanguageModel {
  const config = rwkvConfigOf(state, headEps);
  return filled(
    (init) => new RwkvLanguageModel(device, config, init),
    (model) => fitted(model, state),
    options,
  );
}

/** The values of a checkpoint in the shapes that a model wants. */
function fitted(model: RwkvLanguageModel, state: StateDict): StateDict {
  const shapes = new Map([...model.namedParameters()].map(([name, { shape }]) => [name, shape]));
  const result = new Map<string, HostTensor>();
  for (const [name, value] of state) {
    const shape = shapes.get(name);
    if (!shape && model.config.kind === "rwkv7" && UNUSED.test(name)) continue;
    const alike = shape && sizeOf(shape) === sizeOf(value.shape) && squeezed(shape) === squeezed(value.shape);
    result.set(name, alike ? reshaped(value, shape) : value);
  }
  return result;
}

const squeezed = (shape: Shape): string => shape.filter((n) => n !== 1).join();
