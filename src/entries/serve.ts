/**
 * A model in a worker, seen from the worker.
 * @module ostinato/worker/serve
 */
// Public names only; nothing inside src imports this file.
export type { HostOptions } from "../worker/host.ts";
export { type ServeOptions, serve } from "../worker/serve.ts";
