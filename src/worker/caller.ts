import { unpackError } from "./errors.ts";
import { listen, type MessageTarget } from "./port.ts";
import { CHANNEL, opened, type Reply, type Request } from "./protocol.ts";

export interface CallOptions {
  /** Asks the worker to end the work early. */
  readonly signal?: AbortSignal | undefined;
  /** Takes what the worker tells meanwhile. */
  readonly onNote?: ((value: unknown) => void) | undefined;
}

interface Waiting {
  resolve(reply: { readonly done: boolean; readonly value: unknown }): void;
  reject(error: Error): void;
  readonly onNote: CallOptions["onNote"];
}

/** The page's end: calls methods in the worker and awaits their answers. */
export class Caller {
  private readonly target: MessageTarget;
  private readonly onLost: (error: Error) => void;
  private readonly waiting = new Map<number, Waiting>();
  private calls = 0;
  private ended: Error | null = null;

  constructor(target: MessageTarget, onLost: (error: Error) => void) {
    this.target = target;
    this.onLost = onLost;
    listen(target, (data) => {
      const reply = opened<Reply>(data);
      if (reply) this.take(reply);
    });
  }

  /** One answer. */
  async call(method: string, args: unknown, options: CallOptions = {}): Promise<unknown> {
    const id = this.calls++;
    const unlisten = this.abortWith(id, options.signal);
    try {
      const { value } = await this.ask({ kind: "call", id, method, args }, options.onNote);
      return value;
    } finally {
      unlisten();
    }
  }

  /** Values one at a time, each made when it is asked for; leaving the loop ends the work. */
  async *stream(method: string, args: unknown, { signal }: CallOptions = {}): AsyncGenerator<unknown, void, void> {
    const id = this.calls++;
    const unlisten = this.abortWith(id, signal);
    let open = true;
    try {
      for (let request: Request = { kind: "call", id, method, args }; ; request = { kind: "pull", id }) {
        open = false;
        const { done, value } = await this.ask(request);
        if (done) return;
        open = true;
        yield value;
      }
    } finally {
      unlisten();
      if (open && !this.ended) await this.ask({ kind: "return", id });
    }
  }

  /** Rejects every open and later call. */
  fail(error: Error): void {
    this.ended ??= error;
    for (const { reject } of this.waiting.values()) reject(this.ended);
    this.waiting.clear();
  }

  private ask(request: Request, onNote?: CallOptions["onNote"]): Promise<{ done: boolean; value: unknown }> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(this.ended);
      this.waiting.set(request.id, { resolve, reject, onNote });
      try {
        this.post(request);
      } catch (error) {
        this.waiting.delete(request.id);
        reject(error);
      }
    });
  }

  private take(reply: Reply): void {
    if (reply.kind === "lost") {
      this.onLost(unpackError(reply.error));
      return;
    }
    const waiting = this.waiting.get(reply.id);
    if (reply.kind === "note") {
      waiting?.onNote?.(reply.value);
      return;
    }
    this.waiting.delete(reply.id);
    if (reply.kind === "error") waiting?.reject(unpackError(reply.error));
    else waiting?.resolve({ done: reply.kind === "done", value: reply.value });
  }

  /** Passes an abort on; returns what takes the listener off again. */
  private abortWith(id: number, signal: AbortSignal | undefined): () => void {
    const abort = () => this.post({ kind: "abort", id });
    // The call must reach the worker before its abort.
    if (signal?.aborted) queueMicrotask(abort);
    else signal?.addEventListener("abort", abort, { once: true });
    return () => signal?.removeEventListener("abort", abort);
  }

  private post(message: Request): void {
    this.target.postMessage({ channel: CHANNEL, message });
  }
}
