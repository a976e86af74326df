import type { Device } from "../gpu/device.ts";
import { ValueError } from "../gpu/errors.ts";
import type { LanguageModel } from "../models/language.ts";
import { type OpenModelOptions, openModel } from "../models/open.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import { type TrainingRecord, trainingOf } from "../train/checkpoint.ts";
import type { OpenArguments } from "./types.ts";

/** A model on a device. */
export interface Loaded {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer | null;
  /** The run that its file holds, until it trains. */
  readonly record: TrainingRecord | null;
}

/** A file that a new device starts from. */
export interface Kept {
  readonly source: OpenArguments["source"];
  readonly options: OpenModelOptions;
}

/** @throws as `openModel`; nothing stays on the device then */
export async function load(device: Device, { source, options }: Kept): Promise<Loaded> {
  const { model, tokenizer, run } = await openModel(device, source, options);
  try {
    return { model, tokenizer, record: run && trainingOf(run) };
  } catch (error) {
    model.dispose();
    throw error;
  }
}

/** @throws ValueError if there is no tokenizer */
export function known(op: string, tokenizer: Tokenizer | null): Tokenizer {
  if (tokenizer) return tokenizer;
  throw new ValueError(`${op}: the model has no tokenizer; open it again with { tokenizer }`);
}
