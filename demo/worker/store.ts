import { type DBSchema, type IDBPDatabase, openDB } from "idb";
import type { SavedSession } from "../../src/generate/session.ts";
import { ValueError } from "../../src/gpu/errors.ts";
import type { LoadReport } from "../protocol.ts";

/** A kept run: what the page shows of it, and where its checkpoint lies. */
export interface Kept extends LoadReport {
  readonly created: number;
  /** Key of the checkpoint among the files. */
  readonly file: number;
}

/** What may be kept with a run. */
export interface Beside {
  /** The visitor's own text, without which the run could not go on. */
  readonly text: string | null;
  /** A state of the model in the middle of a text. */
  readonly state: SavedSession | null;
}

interface Schema extends DBSchema {
  runs: { key: string; value: Kept };
  files: { key: number; value: Uint8Array<ArrayBuffer> };
  /** Texts of the visitor's own, by run. */
  texts: { key: string; value: string };
  /** States that were kept of the models' own texts, by run. */
  states: { key: string; value: SavedSession };
}

const NAME = "ostinato";
const VERSION = 2;
const ALL = ["runs", "files", "texts", "states"] as const;

/** Runs and their checkpoints in the browser's own storage. */
export class Store {
  private database: Promise<IDBPDatabase<Schema>> | null = null;

  /** Every kept run, oldest first; none where the browser has no storage for the page. */
  async list(): Promise<readonly Kept[]> {
    const database = await this.open().catch(() => null);
    const runs = (await database?.getAll("runs")) ?? [];
    return runs.sort((a, b) => a.created - b.created);
  }

  /**
   * Keeps a run. One transaction writes the new checkpoint, points to it and drops the older: a page that is closed in
   * between leaves the older as it was.
   */
  async put(report: LoadReport, file: Uint8Array<ArrayBuffer>, { text, state }: Beside): Promise<void> {
    const database = await this.open();
    const change = database.transaction(ALL, "readwrite");
    const [runs, files, texts] = [change.objectStore("runs"), change.objectStore("files"), change.objectStore("texts")];
    try {
      const before = await runs.get(report.id);
      const key = await files.add(file);
      await runs.put({ ...report, created: before?.created ?? Date.now(), file: key });
      if (before) await files.delete(before.file);
      if (text !== null && !before) await texts.put(text, report.id);
      if (state) await change.objectStore("states").put(state, report.id);
      await change.done;
    } catch (error) {
      // A request that failed has aborted the transaction; one that could not even be made has not.
      change.done.catch(() => {});
      if (!change.error) change.abort();
      throw error;
    }
  }

  /** A kept run with its checkpoint and what was kept beside. @throws ValueError if it is not kept */
  async get(id: string): Promise<{ kept: Kept; file: Uint8Array<ArrayBuffer> } & Beside> {
    const reading = (await this.open()).transaction(ALL);
    const kept = await reading.objectStore("runs").get(id);
    const file = kept && (await reading.objectStore("files").get(kept.file));
    if (!file) throw new ValueError("run: the browser does not keep it any more; another page may have removed it");
    const [text, state] = [reading.objectStore("texts"), reading.objectStore("states")];
    return { kept, file, text: (await text.get(id)) ?? null, state: (await state.get(id)) ?? null };
  }

  /** Calls a run by another name, if it is kept. */
  async rename(id: string, name: string | null): Promise<void> {
    const change = (await this.open()).transaction("runs", "readwrite");
    const kept = await change.store.get(id);
    if (kept) await change.store.put({ ...kept, name });
    await change.done;
  }

  async remove(id: string): Promise<void> {
    const change = (await this.open()).transaction(ALL, "readwrite");
    const kept = await change.objectStore("runs").get(id);
    if (kept) await change.objectStore("files").delete(kept.file);
    for (const name of ["runs", "texts", "states"] as const) await change.objectStore(name).delete(id);
    await change.done;
  }

  private open(): Promise<IDBPDatabase<Schema>> {
    this.database ??= openDB<Schema>(NAME, VERSION, {
      upgrade(database, before) {
        if (before < 1) {
          database.createObjectStore("runs", { keyPath: "id" });
          database.createObjectStore("files", { autoIncrement: true });
          database.createObjectStore("texts");
        }
        if (before < 2) database.createObjectStore("states");
      },
      terminated: () => {
        this.database = null;
      },
    });
    this.database.catch(() => {
      this.database = null;
    });
    return this.database;
  }
}

/** Why a run could not be kept, and the way on. */
export function notKeptSentence(error: unknown): string {
  const { name = "", message = String(error) } = error instanceof Error ? error : {};
  const wayOn = "Save gives it as a file";
  return name === "QuotaExceededError"
    ? `The browser's storage for this page is full and does not keep what this run learns; ${wayOn}, and removing older runs makes room.`
    : `The browser does not keep this run (${message.replace(/\.$/, "")}); ${wayOn}.`;
}
