import { FileError } from "../gpu/errors.ts";

/** A text as `encodeSource` reads it. */
export const textOf = (text: string | Blob | undefined) => (text instanceof Blob ? text.stream() : (text ?? ""));

/** The bytes of a file, or of what an address answers. */
export async function bytesOf(
  source: ArrayBuffer | Uint8Array<ArrayBuffer> | Blob | string,
  signal: AbortSignal,
): Promise<ArrayBuffer | Uint8Array<ArrayBuffer>> {
  if (source instanceof Blob) return source.arrayBuffer();
  if (typeof source !== "string") return source;
  const response = await fetch(source, { signal });
  if (response.ok) return response.arrayBuffer();
  throw new FileError(
    "fetch",
    `open: ${source} answered ${response.status} ${response.statusText}; check the address`.replace("  ", " "),
  );
}
