import { ValueError } from "../gpu/errors.ts";

/** Who may work at the same time: some operations beside others, some only alone. Refuses instead of waiting, so that a loop that calls from within cannot wait for itself. */
export class Turns {
  private alone: string | null = null;
  private together = 0;

  /** Runs an operation that nothing else may run beside. */
  async exclusively<T>(op: string, work: () => Promise<T>): Promise<T> {
    this.check(op, this.alone ?? (this.together > 0 ? "it generates" : null));
    this.alone = op;
    try {
      return await work();
    } finally {
      this.alone = null;
    }
  }

  /** Begins an operation that may run beside others of its kind; call the result at its end. */
  enter(op: string): () => void {
    this.check(op, this.alone);
    this.together++;
    return () => {
      this.together--;
    };
  }

  private check(op: string, busy: string | null): void {
    if (busy) throw new ValueError(`${op}: the worker is busy (${busy}); await that or abort it first`);
  }
}
