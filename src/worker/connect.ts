import type { DeviceLostError } from "../gpu/errors.ts";
import { DisposedError, OstinatoError } from "../gpu/errors.ts";
import type { Progress } from "../io/reader.ts";
import type { WeightOptions } from "../models/filled.ts";
import type { FormatOptions } from "../models/openFormat.ts";
import type { RunSettings } from "../train/run.ts";
import type { TrainReport } from "../train/trainer.ts";
import { Caller, type CallOptions } from "./caller.ts";
import { end, type MessageTarget, watch } from "./port.ts";
import type {
  CreateOptions,
  DeviceReport,
  Methods,
  ModelReport,
  Streams,
  TextOptions,
  TrainArguments,
  TrainResult,
} from "./types.ts";

/** Options of `connect`. */
export interface ConnectOptions {
  /** Told when the worker's device is gone. Work under way rejects; the next call goes on from what was last kept. */
  readonly onLost?: (error: DeviceLostError) => void;
}

/** What opens a file, as far as it does not tell itself. */
export interface RemoteOpenOptions extends FormatOptions, WeightOptions {
  /** GPT-2's tokenizer, bytes, or the file or address of a `tokenizer.json` or of RWKV's World vocabulary. */
  readonly tokenizer?: "gpt2" | "bytes" | Blob | URL;
  readonly onProgress?: (progress: Progress) => void;
  /** Ends the download; the call rejects with an AbortError. */
  readonly signal?: AbortSignal;
}

/** How to write; `signal` ends it early. */
export interface RemoteGenerateOptions extends TextOptions {
  readonly signal?: AbortSignal;
}

/** How a worker trains: what is told, and what ends it. */
export interface RemoteTrainOptions extends TrainArguments {
  /** Ends the training after the step in progress. */
  readonly signal?: AbortSignal;
  readonly onReport?: (report: TrainReport) => void;
}

/**
 * Connects to a worker whose script calls `serve`. Resolves once it has a device.
 *
 * @example
 * const model = await connect(new Worker(new URL("./worker.ts", import.meta.url), { type: "module" }));
 * await model.open("whale.safetensors");
 * for await (const piece of model.generate("Call me", { temperature: 0.8 })) output.append(piece);
 *
 * @throws GpuUnavailableError as `openDevice`; the worker is ended then
 * @throws OstinatoError if the worker's script does not load
 */
export async function connect(worker: MessageTarget, { onLost }: ConnectOptions = {}): Promise<RemoteModel> {
  const caller = new Caller(worker, (error) => onLost?.(error as DeviceLostError));
  watch(worker, (reason) =>
    caller.fail(
      new OstinatoError(`connect: the worker failed (${reason}); start another and open the last checkpoint`),
    ),
  );
  try {
    const device = await caller.call("start", null);
    return new RemoteModel(worker, caller, device as DeviceReport);
  } catch (error) {
    end(worker);
    throw error;
  }
}

/** Calls with the types of the worker's methods. */
function ask<M extends keyof Methods>(
  caller: Caller,
  method: M,
  args: Parameters<Methods[M]>[0],
  options?: CallOptions,
): Promise<ReturnType<Methods[M]>> {
  return caller.call(method, args, options) as Promise<ReturnType<Methods[M]>>;
}

function write(caller: Caller, session: number | null, prompt: string, { signal, ...options }: RemoteGenerateOptions) {
  const args: Parameters<Streams["generate"]>[0] = { session, options: { ...options, prompt } };
  return caller.stream("generate", args, { signal }) as AsyncGenerator<string, void, void>;
}

/**
 * A model in a worker, which does all its work there. One thing at a time: while it trains or loads, other calls are
 * refused with a ValueError. Errors are those of the engine, with their classes.
 */
export class RemoteModel {
  readonly device: DeviceReport;
  private readonly worker: MessageTarget;
  private readonly caller: Caller;

  /** @internal */
  constructor(worker: MessageTarget, caller: Caller, device: DeviceReport) {
    this.worker = worker;
    this.caller = caller;
    this.device = device;
  }

  /** Makes a new model, in place of the one before. */
  create(options: CreateOptions): Promise<ModelReport> {
    return ask(this.caller, "create", options);
  }

  /**
   * Opens a model from any file that `openModel` knows, in place of the model before.
   * @param source a Blob or File, an address, which the worker fetches, or bytes, which are copied on their way
   * @throws as `openModel`; the model before stays
   */
  async open(
    source: ArrayBuffer | Uint8Array<ArrayBuffer> | Blob | URL | string,
    { signal, onProgress, tokenizer, ...format }: RemoteOpenOptions = {},
  ): Promise<ModelReport> {
    signal?.throwIfAborted();
    const address = typeof source === "string" || source instanceof URL;
    // Addresses mean what they mean on this side, not from where the worker's script lies.
    const args = {
      ...format,
      source: address ? new URL(source, globalThis.location?.href).href : source,
      tokenizer: tokenizer instanceof URL ? tokenizer.href : tokenizer,
    };
    const onNote = onProgress && ((progress: unknown) => onProgress(progress as Progress));
    return ask(this.caller, "open", args, { signal, onNote });
  }

  /**
   * Trains on a text, away from the page. Calls with the same text and settings continue each other.
   * @returns the step reached and the loss on held-out text, which is null after an abort
   * @throws NonFiniteError if the run has diverged
   */
  train(
    text: string | Blob,
    { signal, onReport, ...options }: RemoteTrainOptions & RunSettings = {},
  ): Promise<TrainResult> {
    const onNote = onReport && ((report: unknown) => onReport(report as TrainReport));
    return ask(this.caller, "train", { text, options }, { signal, onNote });
  }

  /** Streams a new text that begins with `prompt`; leaving the loop ends it. */
  generate(prompt: string, options: RemoteGenerateOptions = {}): AsyncGenerator<string, void, void> {
    return write(this.caller, null, prompt, options);
  }

  /**
   * A text that goes on over several prompts.
   * @param saved one that `save` of a session made, from the same model
   * @throws FileError if it was saved from another model
   */
  async session(saved: Uint8Array<ArrayBuffer> | null = null): Promise<RemoteSession> {
    return new RemoteSession(this.caller, await ask(this.caller, "openSession", saved));
  }

  /** The model as a checkpoint, with its run if it trains. */
  save(): Promise<Uint8Array<ArrayBuffer>> {
    return ask(this.caller, "save", null);
  }

  /** Ends the worker; calls under way and later ones reject with a DisposedError. */
  dispose(): void {
    void ask(this.caller, "dispose", null).then(
      () => end(this.worker),
      () => end(this.worker),
    );
    this.caller.fail(new DisposedError("connect: the worker was disposed; connect to another"));
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** A text in the making, in the worker. */
export class RemoteSession {
  private readonly caller: Caller;
  private readonly id: number;

  /** @internal */
  constructor(caller: Caller, id: number) {
    this.caller = caller;
    this.id = id;
  }

  /** Reads `prompt` after the text so far and streams what follows; leaving the loop ends it. */
  generate(prompt: string, options: RemoteGenerateOptions = {}): AsyncGenerator<string, void, void> {
    return write(this.caller, this.id, prompt, options);
  }

  /** Tokens seen so far, and bytes of the state that remembers them. */
  measure(): Promise<{ readonly position: number; readonly byteLength: number }> {
    return ask(this.caller, "measureSession", this.id);
  }

  /** An independent text that continues from here. */
  async branch(): Promise<RemoteSession> {
    return new RemoteSession(this.caller, await ask(this.caller, "branchSession", this.id));
  }

  /** The text so far as a file, which `session` of the same model goes on with, bit for bit. */
  save(): Promise<Uint8Array<ArrayBuffer>> {
    return ask(this.caller, "saveSession", this.id);
  }

  /** Gives its memory back. */
  close(): Promise<void> {
    return ask(this.caller, "closeSession", this.id);
  }
}
