import type { PackedError } from "./errors.ts";

/** Marks the messages of this protocol, so that a worker may use its channel for more. */
export const CHANNEL = "ostinato";

/** From the page. A call is answered by `done` or `error`, a stream by one `value` for each `call` and `pull` before that. */
export type Request =
  | { readonly kind: "call"; readonly id: number; readonly method: string; readonly args: unknown }
  /** The next value of a stream. */
  | { readonly kind: "pull"; readonly id: number }
  /** Its caller's signal aborted: the work ends early, and is answered as usual. */
  | { readonly kind: "abort"; readonly id: number }
  /** Nobody wants more of a stream. */
  | { readonly kind: "return"; readonly id: number };

/** From the worker. */
export type Reply =
  | { readonly kind: "done"; readonly id: number; readonly value: unknown }
  | { readonly kind: "value"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: PackedError }
  /** Progress of a call that goes on. */
  | { readonly kind: "note"; readonly id: number; readonly value: unknown }
  /** The worker's device is gone; it opens another for the next call. */
  | { readonly kind: "lost"; readonly error: PackedError };

export interface Envelope<M extends Request | Reply> {
  readonly channel: typeof CHANNEL;
  readonly message: M;
}

/** The message of this protocol in `data`, or null. */
export function opened<M extends Request | Reply>(data: unknown): M | null {
  const envelope = data as Partial<Envelope<M>> | null;
  return envelope?.channel === CHANNEL && envelope.message ? envelope.message : null;
}
