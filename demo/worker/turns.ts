/**
 * Lets one piece of work at a time use the model, in the order in which they ask. Long work, such as training,
 * gives way: it is told when somebody waits.
 */
export class Turns {
  private last: Promise<unknown> = Promise.resolve();
  private hint = new AbortController();
  /** Urgent requests that still wait. */
  private urgent = 0;

  /** A turn at the end of the line. */
  take<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.last.then(work);
    this.last = turn.catch(() => {});
    return turn;
  }

  /** A turn as soon as may be: work that gives way ends early. */
  interrupt<T>(work: () => Promise<T>): Promise<T> {
    this.urgent++;
    this.hurry();
    return this.take(() => {
      this.urgent--;
      return work();
    });
  }

  /** A turn that gives way: `signal` aborts when somebody else wants one, and while somebody waits it is skipped. */
  yielding(work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    return this.take(async () => {
      if (this.urgent > 0) return;
      this.hint = new AbortController();
      await work(this.hint.signal);
    });
  }

  /** Asks work that gives way to end early. */
  hurry(): void {
    this.hint.abort();
  }
}
