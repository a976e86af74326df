import { Answerer, type Method } from "./answerer.ts";
import { packError } from "./errors.ts";
import { type HostOptions, ModelHost } from "./host.ts";
import type { MessageTarget } from "./port.ts";
import type { Methods, Streams } from "./types.ts";

/** Options of `serve`. */
export interface ServeOptions extends HostOptions {
  /** Where calls come from; default: the page that started this worker. On Node: `parentPort` of node:worker_threads. */
  readonly port?: MessageTarget;
}

/**
 * Turns a worker into the home of one model; the page talks to it through `connect`. Call it at the top of the
 * worker's script, before anything is awaited.
 *
 * @example
 * import { serve } from "ostinato/worker/serve";
 * serve();
 */
export function serve({ port = globalThis as unknown as MessageTarget, ...options }: ServeOptions = {}): void {
  const host = new ModelHost(options, (error) => answerer.post({ kind: "lost", error: packError(error) }));
  const methods = {
    start: () => host.start(),
    create: (args) => host.create(args),
    open: (args, context) => host.open(args, context),
    train: ({ text, options }, context) => host.train(text, options, context),
    generate: (args, { signal }) => host.generate(args, signal),
    save: () => host.save(),
    openSession: (saved) => host.openSession(saved),
    saveSession: (id) => host.saveSession(id),
    branchSession: async (id) => host.branchSession(id),
    measureSession: async (id) => host.measureSession(id),
    closeSession: async (id) => host.closeSession(id),
    dispose: () => host.dispose(),
  } satisfies Handlers;
  const answerer = new Answerer(port, methods as Readonly<Record<string, Method>>);
}

type Context = Parameters<Method>[1];
type Handlers = {
  [M in keyof Methods]: (args: Parameters<Methods[M]>[0], context: Context) => Promise<ReturnType<Methods[M]>>;
} & {
  [S in keyof Streams]: (args: Parameters<Streams[S]>[0], context: Context) => AsyncGenerator<ReturnType<Streams[S]>>;
};
