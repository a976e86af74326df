/**
 * A model in a worker, seen from the worker. Public names only; nothing inside src imports this file.
 * @module
 */
export type { HostOptions } from "../worker/host.ts";
export { type ServeOptions, serve } from "../worker/serve.ts";
