import type { LoadReport } from "./files.ts";

export interface LibraryCalls {
  /** The runs that the browser keeps, oldest first. */
  library(): readonly LoadReport[];
  /** Makes a kept run the one that the worker holds, as it was when it was last kept. */
  openRun(id: string): LoadReport;
  /** Calls a run by a name, or by its model and size again. */
  renameRun(id: string, name: string | null): null;
  /** Forgets a kept run. */
  removeRun(id: string): null;
  /** A kept run as a file. */
  exportRun(id: string): ArrayBuffer;
}

export type LibraryEvent =
  /** The browser now keeps the run as it was at this step. */
  | { readonly kind: "kept"; readonly id: string; readonly step: number }
  /** The browser refused to keep the run; training goes on. Told once a run. */
  | { readonly kind: "notKept"; readonly id: string; readonly sentence: string };
