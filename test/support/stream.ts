export interface StreamOptions {
  /** Bytes that come at a time. */
  readonly chunk?: number;
  /** What Content-Length says. */
  readonly length?: number | undefined;
  /** Where the connection breaks. */
  readonly breakAt?: number;
  /** Where nothing more comes. */
  readonly stallAt?: number;
  readonly onCancel?: () => void;
}

/** The answer of a server that sends `bytes` piece by piece. */
export function streamOf(
  bytes: Uint8Array<ArrayBuffer>,
  { chunk = 64, length, breakAt, stallAt, onCancel }: StreamOptions = {},
): Response {
  let at = 0;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at === stallAt) return new Promise(() => {});
      if (at === breakAt) return controller.error(new Error("connection reset"));
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, at + chunk));
      at += chunk;
    },
    cancel: () => onCancel?.(),
  });
  return new Response(body, length === undefined ? {} : { headers: { "content-length": `${length}` } });
}
