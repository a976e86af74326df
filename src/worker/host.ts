import { loadSession, saveSession } from "../generate/file.ts";
import { generate } from "../generate/generate.ts";
import { Session } from "../generate/session.ts";
import type { Device } from "../gpu/device.ts";
import { type DeviceLostError, DisposedError, ValueError } from "../gpu/errors.ts";
import { type OpenOptions, openDevice } from "../gpu/open.ts";
import { createModel, modelKind } from "../models/registry.ts";
import { Random } from "../tensor/philox.ts";
import { ByteTokenizer } from "../text/bytes.ts";
import { encodeSource } from "../text/source.ts";
import { saveCheckpoint } from "../train/checkpoint.ts";
import { TrainingRun } from "../train/run.ts";
import type { TrainReport } from "../train/trainer.ts";
import type { CallContext } from "./answerer.ts";
import { type Kept, known, type Loaded, load } from "./loaded.ts";
import { textOf, tokenizerOf } from "./source.ts";
import { Turns } from "./turns.ts";
import type {
  CreateOptions,
  DeviceReport,
  Methods,
  ModelReport,
  OpenArguments,
  Streams,
  TrainArguments,
  TrainResult,
} from "./types.ts";

/** How a worker opens its device, and how often it keeps a run in memory. */
export interface HostOptions extends Omit<OpenOptions, "device"> {
  /** Milliseconds of training after which the run is kept in memory, to go on from when the device is lost; default 10,000. */
  readonly keepEveryMs?: number;
}

/** What identifies a run: the same text and settings continue it. */
interface RunKey {
  readonly ids: Int32Array<ArrayBuffer>;
  readonly settings: string;
}

/** One model in a worker: made or opened, trained, asked for text, saved, and brought back when the device is lost. */
export class ModelHost {
  private readonly options: HostOptions;
  private readonly onLost: (error: DeviceLostError) => void;
  private device: Promise<Device> | null = null;
  private loaded: Loaded | null = null;
  /** The model on its way back to a new device. */
  private loading: Promise<Loaded> | null = null;
  private run: { readonly run: TrainingRun; readonly key: RunKey } | null = null;
  private kept: Kept | null = null;
  private keptKey: RunKey | null = null;
  /** Takes the reports of the run: the training call of now, which may not be the one that began it. */
  private note: (report: TrainReport) => void = () => {};
  private readonly sessions = new Map<number, Session>();
  private sessionCount = 0;
  private readonly turns = new Turns();

  constructor(options: HostOptions, onLost: (error: DeviceLostError) => void) {
    this.options = options;
    this.onLost = onLost;
  }

  async start(): Promise<DeviceReport> {
    const { info, software } = await this.opened();
    const { vendor = "", architecture = "", description = "" } = info ?? {};
    return { vendor, architecture, description, software };
  }

  create(options: CreateOptions): Promise<ModelReport> {
    return this.turns.exclusively("create", async () => {
      const device = await this.opened();
      const { kind, width, numLayers, contextLength, text, seed } = options;
      const tokenizer =
        options.tokenizer === "bytes" ? new ByteTokenizer() : (await encodeSource(textOf(text))).tokenizer;
      const size = { vocabSize: tokenizer.vocabSize, width, numLayers, ...(contextLength && { contextLength }) };
      const random = seed === undefined ? {} : { random: new Random(seed) };
      const model = createModel(device, modelKind(kind).sized(size), random);
      this.replace({ model, tokenizer, record: null });
      await this.keep();
      return this.report();
    });
  }

  open({ source, tokenizer, ...format }: OpenArguments, { signal, note }: CallContext): Promise<ModelReport> {
    return this.turns.exclusively("open", async () => {
      const device = await this.opened();
      const chosen = tokenizer === undefined ? {} : { tokenizer: await tokenizerOf(tokenizer, signal) };
      const options = { ...format, ...chosen };
      this.replace(await load(device, { source, options: { ...options, signal, onProgress: note } }));
      this.kept = { source, options };
      return this.report();
    });
  }

  train(text: string | Blob, options: TrainArguments, { signal, note }: CallContext): Promise<TrainResult> {
    return this.turns.exclusively("train", async () => {
      const { model, tokenizer, record } = await this.recovered("train");
      const { count, resume = false, ...settings } = options;
      const encoded = await encodeSource(textOf(text), known("train", tokenizer));
      const key = { ids: encoded.ids, settings: JSON.stringify(settings) };
      const goesOn = sameRun(this.run?.key ?? this.keptKey, key);
      if (!this.run || !goesOn) {
        if (resume && !record) throw new ValueError("train: the model holds no run to resume; train it without resume");
        this.endRun();
        const onReport = (report: TrainReport) => this.note(report);
        const from = (resume || goesOn) && record ? { resume: record } : {};
        this.run = { run: new TrainingRun(model, encoded, { ...settings, ...from, onReport }), key };
      }
      const { run } = this.run;
      this.note = note;
      const end = run.step + (count ?? Math.max(0, run.settings.steps - run.step));
      while (run.step < end && !signal.aborted) {
        await run.train(
          end - run.step,
          AbortSignal.any([signal, AbortSignal.timeout(this.options.keepEveryMs ?? 10_000)]),
        );
        await this.keep();
      }
      return { step: run.step, heldOut: signal.aborted ? null : await run.evaluate() };
    });
  }

  async *generate(
    { session, options }: Parameters<Streams["generate"]>[0],
    signal: AbortSignal,
  ): AsyncGenerator<string> {
    const done = this.turns.enter("generate");
    try {
      const { model, tokenizer } = await this.recovered("generate");
      const going = session === null ? {} : { session: this.session(session) };
      yield* generate(model, known("generate", tokenizer), { ...options, ...going, signal });
    } finally {
      done();
    }
  }

  async save(): Promise<Uint8Array<ArrayBuffer>> {
    const done = this.turns.enter("save");
    try {
      await this.recovered("save");
      return await this.file();
    } finally {
      done();
    }
  }

  async openSession(saved: Uint8Array<ArrayBuffer> | null): Promise<number> {
    const { model } = await this.recovered("session");
    return this.addSession(saved ? await loadSession(model, saved) : new Session(model));
  }

  saveSession(id: number): Promise<Uint8Array<ArrayBuffer>> {
    return saveSession(this.session(id));
  }

  branchSession(id: number): number {
    return this.addSession(this.session(id).branch());
  }

  measureSession(id: number): ReturnType<Methods["measureSession"]> {
    const { position, byteLength } = this.session(id);
    return { position, byteLength };
  }

  closeSession(id: number): void {
    this.sessions.get(id)?.dispose();
    this.sessions.delete(id);
  }

  async dispose(): Promise<void> {
    const { device } = this;
    this.device = null;
    this.kept = null;
    this.forget();
    (await device)?.destroy();
  }

  /** The device, opened at first and again after a loss. */
  private opened(): Promise<Device> {
    this.device ??= this.openAnother();
    return this.device;
  }

  private async openAnother(): Promise<Device> {
    try {
      const device = await openDevice(this.options);
      const own = this.device;
      void device.lost.then((error) => {
        if (this.device !== own) return;
        this.device = null;
        this.forget();
        this.onLost(error);
      });
      return device;
    } catch (error) {
      this.device = null;
      throw error;
    }
  }

  /** The model; after a loss the one last kept, on a new device. */
  private async recovered(op: string): Promise<Loaded> {
    const device = await this.opened();
    if (!this.loaded && this.kept) {
      this.loading ??= load(device, this.kept).finally(() => {
        this.loading = null;
      });
      const loaded = await this.loading;
      this.loaded ??= loaded;
      if (this.loaded !== loaded) loaded.model.dispose();
    }
    if (!this.loaded) throw new ValueError(`${op}: the worker holds no model; create or open one first`);
    return this.loaded;
  }

  private replace(loaded: Loaded): void {
    this.forget();
    this.kept = null;
    this.keptKey = null;
    this.loaded = loaded;
  }

  /** Gives up everything that lives on the device. */
  private forget(): void {
    for (const session of this.sessions.values()) session.dispose();
    this.sessions.clear();
    this.endRun();
    this.loaded?.model.dispose();
    this.loaded = null;
  }

  private endRun(): void {
    this.run?.run.dispose();
    this.run = null;
  }

  private async keep(): Promise<void> {
    this.kept = { source: await this.file(), options: {} };
    this.keptKey = this.run?.key ?? null;
  }

  private async file(): Promise<Uint8Array<ArrayBuffer>> {
    const { model, tokenizer, record } = this.loaded as Loaded;
    return this.run ? this.run.run.save() : saveCheckpoint(model, known("save", tokenizer), record ?? undefined);
  }

  private report(): ModelReport {
    const { model, tokenizer, record } = this.loaded as Loaded;
    const step = record?.state.step ?? 0;
    const readsText = tokenizer !== null;
    return { config: model.config, parameters: model.parameterCount, step, readsText, resumable: record !== null };
  }

  private addSession(session: Session): number {
    const id = this.sessionCount++;
    this.sessions.set(id, session);
    return id;
  }

  private session(id: number): Session {
    const session = this.sessions.get(id);
    if (!session)
      throw new DisposedError("session: it ended with its model or with a lost device; start another with session()");
    return session;
  }
}

function sameRun(one: RunKey | null | undefined, other: RunKey): boolean {
  if (!one || one.settings !== other.settings || one.ids.length !== other.ids.length) return false;
  return one.ids.every((id, i) => id === other.ids[i]);
}
