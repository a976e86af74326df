import { ValueError } from "../gpu/errors.ts";
import { packError } from "./errors.ts";
import { listen, type MessageTarget } from "./port.ts";
import { CHANNEL, opened, type Reply, type Request } from "./protocol.ts";

/** What a method gets besides its arguments. */
export interface CallContext {
  /** Aborts when the caller's signal does. */
  readonly signal: AbortSignal;
  /** Tells the caller something while the call goes on. */
  note(value: unknown): void;
}

/**
 * A method: an async function answers once, an async generator streams. Its values must survive a structured clone; an answer
 * of bytes is given away with its memory.
 */
export type Method = (args: never, context: CallContext) => Promise<unknown> | AsyncGenerator<unknown, void, void>;

interface Work {
  readonly abort: AbortController;
  readonly stream: AsyncGenerator<unknown, void, void> | null;
}

/** The worker's end: runs methods by name. */
export class Answerer {
  private readonly target: MessageTarget;
  private readonly methods: Readonly<Record<string, Method>>;
  private readonly works = new Map<number, Work>();

  constructor(target: MessageTarget, methods: Readonly<Record<string, Method>>) {
    this.target = target;
    this.methods = methods;
    listen(target, (data) => {
      const request = opened<Request>(data);
      if (request) this.take(request);
    });
  }

  post(message: Reply, transfer: Transferable[] = []): void {
    this.target.postMessage({ channel: CHANNEL, message }, transfer);
  }

  private take(request: Request): void {
    const { id } = request;
    if (request.kind === "call") return void this.start(request);
    const work = this.works.get(id);
    if (request.kind === "abort") work?.abort.abort();
    else if (!work?.stream) this.post({ kind: "done", id, value: undefined });
    else void this.advance(id, request.kind === "pull" ? work.stream.next() : work.stream.return());
  }

  private async start({ id, method, args }: Extract<Request, { kind: "call" }>): Promise<void> {
    const abort = new AbortController();
    const note = (value: unknown) => this.post({ kind: "note", id, value });
    try {
      const run = Object.hasOwn(this.methods, method) ? this.methods[method] : undefined;
      if (!run) throw new ValueError(`worker: there is no method ${method}; use the same version on both sides`);
      const result = run(args as never, { signal: abort.signal, note });
      const stream = Symbol.asyncIterator in result ? result : null;
      this.works.set(id, { abort, stream });
      if (stream) return await this.advance(id, stream.next());
      this.finish(id, { kind: "done", id, value: await result });
    } catch (error) {
      this.finish(id, { kind: "error", id, error: packError(error) });
    }
  }

  private async advance(id: number, step: Promise<IteratorResult<unknown, void>>): Promise<void> {
    try {
      const { done, value } = await step;
      if (done) this.finish(id, { kind: "done", id, value: undefined });
      else this.post({ kind: "value", id, value });
    } catch (error) {
      this.finish(id, { kind: "error", id, error: packError(error) });
    }
  }

  private finish(id: number, reply: Reply): void {
    this.works.delete(id);
    const bytes = reply.kind === "done" && reply.value instanceof Uint8Array ? [reply.value.buffer as ArrayBuffer] : [];
    this.post(reply, bytes);
  }
}
