/** One end of a channel between threads: a Worker, a MessagePort, a worker's own scope, or their Node counterparts. */
export interface MessageTarget {
  postMessage(message: unknown, transfer?: Transferable[]): void;
}

/** The parts that differ between the platforms. */
interface Platform {
  addEventListener?(type: string, listener: (event: Event) => void): void;
  on?(type: string, listener: (value: unknown) => void): void;
  start?(): void;
  terminate?(): unknown;
  close?(): void;
}

/** Passes on what arrives; in Node values come bare, in browsers as events. */
export function listen(target: MessageTarget, onMessage: (data: unknown) => void): void {
  const platform = target as MessageTarget & Platform;
  if (platform.on) platform.on("message", onMessage);
  else platform.addEventListener?.("message", (event) => onMessage((event as MessageEvent).data));
  platform.start?.();
}

/** Tells once why a worker can answer no more. */
export function watch(worker: MessageTarget, onEnd: (reason: string) => void): void {
  const platform = worker as MessageTarget & Platform;
  if (platform.on) {
    platform.on("error", (error) => onEnd(error instanceof Error ? error.message : String(error)));
    platform.on("exit", () => onEnd("it ended"));
  } else {
    platform.addEventListener?.("error", (event) =>
      onEnd((event as ErrorEvent).message || "its script could not be loaded"),
    );
  }
}

/** Ends a worker, or closes a port. */
export function end(target: MessageTarget): void {
  const platform = target as MessageTarget & Platform;
  if (platform.terminate) platform.terminate();
  else platform.close?.();
}
