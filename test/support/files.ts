import { FileError } from "../../src/gpu/errors.ts";

/** Reads a file of the repository, in Node and in a page that vite serves. */
export async function readFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (typeof window === "undefined") {
    const fs = "node:fs/promises";
    const { readFile: read } = (await import(/* @vite-ignore */ fs)) as typeof import("node:fs/promises");
    return new Uint8Array(await read(path));
  }
  const response = await fetch(`/${path}`);
  if (!response.ok) throw new Error(`${path}: the server answered ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** The code of the FileError that `run` throws, or "none". */
export function fileErrorOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof FileError) return error.code;
    throw error;
  }
  return "none";
}
