import type { Calls, Event, Failure, Message } from "./protocol.ts";

/** A request that the worker refused, with a sentence for the visitor. */
export class Refusal extends Error {
  readonly failure: Failure;
  constructor(failure: Failure) {
    super(failure.sentence);
    this.failure = failure;
  }
}

/** The page's side of the protocol: typed calls out, events in. */
export interface Client {
  call<K extends keyof Calls>(name: K, ...input: Parameters<Calls[K]>): Promise<ReturnType<Calls[K]>>;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Refusal): void;
}

/** Starts the worker; a worker that breaks down refuses every call that still waits, and every later one. */
export function startWorker(onEvent: (event: Event) => void): Client {
  const worker = new Worker(new URL("./worker/main.ts", import.meta.url), { type: "module", name: "ostinato" });
  const waiting = new Map<number, Waiting>();
  let ids = 0;
  let broken: Failure | null = null;

  worker.addEventListener("message", ({ data }: MessageEvent<Message>) => {
    if (data.kind === "event") {
      onEvent(data.event);
      return;
    }
    const { id } = data;
    const call = waiting.get(id);
    waiting.delete(id);
    if (data.kind === "answer") call?.resolve(data.value);
    else call?.reject(new Refusal(data.failure));
  });

  worker.addEventListener("error", (event) => {
    event.preventDefault();
    broken = {
      kind: "lost",
      sentence: `The worker stopped (${event.message || "it did not load"}). Reload the page.`,
    };
    for (const { reject } of waiting.values()) reject(new Refusal(broken));
    waiting.clear();
    onEvent({ kind: "failure", failure: broken });
  });

  return {
    call: (name, ...input) =>
      new Promise((resolve, reject) => {
        if (broken) {
          reject(new Refusal(broken));
          return;
        }
        const id = ids++;
        waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
        const files = input.filter((value): value is ArrayBuffer => value instanceof ArrayBuffer);
        worker.postMessage({ id, name, input }, files);
      }),
  };
}
