import type { GenerateOptions } from "../generate/generate.ts";
import type { Progress } from "../io/reader.ts";
import type { WeightOptions } from "../models/filled.ts";
import type { ModelConfig } from "../models/language.ts";
import type { FormatOptions } from "../models/openFormat.ts";
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
  /** Whether it has a tokenizer; without one it can neither write nor train. */
  readonly readsText: boolean;
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

/** GPT-2's tokenizer, bytes, or the file of one (`tokenizer.json`, or RWKV's World vocabulary) or its address. */
export type TokenizerSource = "gpt2" | "bytes" | Blob | string;

/** A model from a file: bytes, a Blob, or an absolute address to fetch. */
export interface OpenArguments extends FormatOptions, WeightOptions {
  readonly source: ArrayBuffer | Uint8Array<ArrayBuffer> | Blob | string;
  readonly tokenizer?: TokenizerSource | undefined;
}

/** How a worker trains. */
export interface TrainArguments extends RunSettings {
  /** Steps of this call; default: to the end of the run, `steps` in all. */
  readonly count?: number;
  /** Continue the run that the opened checkpoint holds. Calls on the same text and settings continue each other anyway. */
  readonly resume?: boolean;
}

/** Where a training call ended. */
export interface TrainResult {
  readonly step: number;
  /** Mean loss on held-out text in nats a token, or null where nothing is held out. */
  readonly heldOut: number | null;
}

/** How a worker writes. */
export type TextOptions = Omit<GenerateOptions, "session" | "signal">;

/** What the worker's methods take and give. */
export interface Methods {
  start(args: null): DeviceReport;
  create(args: CreateOptions): ModelReport;
  open(args: OpenArguments): ModelReport;
  train(args: { readonly text: string | Blob; readonly options: TrainArguments }): TrainResult;
  save(args: null): Uint8Array<ArrayBuffer>;
  /** A new session, or a saved one. */
  openSession(args: Uint8Array<ArrayBuffer> | null): number;
  saveSession(args: number): Uint8Array<ArrayBuffer>;
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
  readonly open: Progress;
  readonly train: TrainReport;
}
