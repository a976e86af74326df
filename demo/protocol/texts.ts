import type { TaskName } from "../../src/text/tasks.ts";

/** A text to learn: one that ships with the page, one of an algorithmic task, or the visitor's own. */
export type TextId = "moby-dick" | "names" | TaskName | "own";

/** What a text holds, once it was read. */
export interface TextReport {
  readonly id: TextId;
  readonly characters: number;
  /** Different characters: the size of the vocabulary. */
  readonly vocabulary: number;
}

export interface TextCalls {
  /** Reads a text that ships with the page, or takes the visitor's own. */
  readText(id: TextId, own?: string): TextReport;
}
