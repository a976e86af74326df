import type { GenerateOptions } from "../generate/generate.ts";
import type { ModelConfig } from "../models/language.ts";
import type { RunSettings } from "../train/run.ts";
import type { TrainReport } from "../train/trainer.ts";

/** The adapter that a worker found. */
export interface DeviceReport {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** True on a CPU emulation: right, but slow. */
  readonly software: boolean;
}

/** The model that a worker holds. */
export interface ModelReport {
  readonly config: ModelConfig;
  readonly parameters: number;
  /** Steps trained, as far as is known. */
  readonly step: number;
  /** Whether a saved run can be continued with `train(text, { resume: true })`. */
  readonly resumable: boolean;
}

/** A new model for a text. */
export interface CreateOptions {
  /** Name in the registry, for instance `lstm`. */
  readonly kind: string;
  readonly width: number;
  readonly numLayers: number;
  readonly contextLength?: number;
  /** The text whose characters it must know; not needed with "bytes". */
  readonly text?: string | Blob;
  /** Default "characters". */
  readonly tokenizer?: "characters" | "bytes";
  /** Of the first weights; default random. */
  readonly seed?: number;
}

export interface TrainArguments extends RunSettings {
  /** Steps of this call; default: to the end of the run, `steps` in all. */
  readonly count?: number;
  /** Continue the run that the opened checkpoint holds. Calls on the same text and settings continue each other anyway. */
  readonly resume?: boolean;
}

export interface TrainResult {
  readonly step: number;
  /** Mean loss on held-out text in nats a token, or null where nothing is held out. */
  readonly heldOut: number | null;
}

export type TextOptions = Omit<GenerateOptions, "session" | "signal">;

/** What the worker's methods take and give. A file is bytes, a Blob, or an absolute address to fetch. */
export interface Methods {
  start(args: null): DeviceReport;
  create(args: CreateOptions): ModelReport;
  open(args: ArrayBuffer | Uint8Array<ArrayBuffer> | Blob | string): ModelReport;
  train(args: { readonly text: string | Blob; readonly options: TrainArguments }): TrainResult;
  save(args: null): Uint8Array<ArrayBuffer>;
  openSession(args: null): number;
  branchSession(args: number): number;
  /** Tokens seen and bytes of state. */
  measureSession(args: number): { readonly position: number; readonly byteLength: number };
  closeSession(args: number): void;
  dispose(args: null): void;
}

/** What they stream. */
export interface Streams {
  generate(args: { readonly session: number | null; readonly options: TextOptions }): string;
}

/** What they tell meanwhile. */
export interface Notes {
  readonly train: TrainReport;
}
