import { FileError, ValueError } from "../../src/gpu/errors.ts";
import { encodeSource } from "../../src/text/source.ts";
import { type TaskCorpus, type TaskName, taskCorpus, tasks } from "../../src/text/tasks.ts";
import type { Tokenizer } from "../../src/text/tokenizer.ts";
import { type CorpusId, corpora, fetchCorpus } from "../corpora/index.ts";
import type { TextChoice, TextId, TextReport } from "../protocol.ts";

export interface ReadText {
  readonly text: string;
  readonly ids: Int32Array<ArrayBuffer>;
  readonly tokenizer: Tokenizer;
  /** Of a task: its two parts, and the questions that are held out. */
  readonly task?: TaskCorpus;
}

/** What a visitor can choose from. */
export const textChoices: readonly TextChoice[] = [
  ...corpora.map(({ id, title, by }) => ({ id, name: title, about: by, task: false })),
  { id: "own", name: "Your own", about: "Paste it, or drop a file", task: false },
  ...tasks.map(({ name, label, summary }) => ({ id: name, name: label, about: summary, task: true })),
];

const isTask = (id: TextId): id is TaskName => tasks.some(({ name }) => name === id);

/** The texts read so far, each with its tokens. The visitor's own is the latest that was given. */
export class Texts {
  private readonly base: string;
  private readonly read = new Map<TextId, Promise<ReadText>>();

  /** @param base address of the page */
  constructor(base: string) {
    this.base = base;
  }

  /** Takes the visitor's text, or fetches one of the page's; a failed attempt is forgotten. */
  async load(id: TextId, own?: string): Promise<TextReport> {
    if (own !== undefined || !this.read.has(id)) this.read.set(id, this.encode(id, own));
    try {
      const { ids, tokenizer } = await this.get(id);
      return { id, characters: ids.length, vocabulary: tokenizer.vocabSize };
    } catch (error) {
      this.read.delete(id);
      throw error;
    }
  }

  /** Whether the text can be had without asking the visitor. */
  has(id: TextId): boolean {
    return id !== "own" || this.read.has(id);
  }

  /** The text itself if it is the visitor's own, and was given; null for those of the page. */
  async own(id: TextId): Promise<string | null> {
    if (id !== "own") return null;
    return (await this.read.get(id)?.catch(() => null))?.text ?? null;
  }

  /** The text with its tokens. @throws ValueError if it is the visitor's own and was not given */
  get(id: TextId): Promise<ReadText> {
    const found = this.read.get(id) ?? (id === "own" ? null : this.encode(id));
    if (!found) throw new ValueError("text: there is no text of your own yet; choose Your own and paste one");
    this.read.set(id, found);
    return found;
  }

  private async fetch(id: CorpusId): Promise<string> {
    try {
      return await fetchCorpus(id, this.base);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new FileError(
        "text-missing",
        `text: it could not be fetched (${reason}); check the connection and choose it again`,
      );
    }
  }

  private async encode(id: TextId, own?: string): Promise<ReadText> {
    if (isTask(id)) return readTask(id);
    const text = own ?? (id === "own" ? "" : await this.fetch(id));
    return { text, ...(await encodeSource(text)) };
  }
}

function readTask(name: TaskName): ReadText {
  const task = taskCorpus(name);
  const { tokenizer, train, validation } = task;
  const ids = new Int32Array(train.length + validation.length);
  ids.set(train);
  ids.set(validation, train.length);
  return { text: tokenizer.decode(ids), ids, tokenizer, task };
}
