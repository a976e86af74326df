import { constants, createReadStream, existsSync } from "node:fs";
import { access, open, rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { Failure } from "./failure.ts";

const failure = (what: string, file: string, error: unknown) => {
  const { code, message } = error as NodeJS.ErrnoException;
  const why: Record<string, string> = {
    ENOENT: "there is no such file",
    EISDIR: "it is a folder",
    EACCES: "it may not be read or written",
    ENOSPC: "the disk is full",
  };
  return new Failure(`${what} ${file}: ${why[code ?? ""] ?? message}; give another path`);
};

/** Most bytes that one call of the system reads. */
const READ_BYTES = 2 ** 30;

/** The bytes of a file, which may be of any size. @throws Failure if there is no such file, or it cannot be read */
export async function readBytes(file: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    await using handle = await open(file);
    const bytes = new Uint8Array((await handle.stat()).size);
    for (let length = 0; length < bytes.length; ) {
      const { bytesRead } = await handle.read(bytes, length, Math.min(READ_BYTES, bytes.length - length), length);
      if (bytesRead === 0) return bytes.subarray(0, length);
      length += bytesRead;
    }
    return bytes;
  } catch (error) {
    throw failure("cannot read", file, error);
  }
}

/** The chunks of a file. @throws Failure if there is no such file, or it cannot be read */
export async function* readChunks(file: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of createReadStream(file)) yield chunk as Uint8Array;
  } catch (error) {
    throw failure("cannot read", file, error);
  }
}

/** Whether a file can be written, before the work that makes it. @throws Failure if it cannot */
export async function checkPlace(file: string): Promise<void> {
  const folder = dirname(file);
  if (!existsSync(folder))
    throw new Failure(`cannot write ${file}: there is no folder ${folder}; make it, or give another path`);
  try {
    await access(folder, constants.W_OK);
    if (existsSync(file)) await (await open(file, "r+")).close();
  } catch (error) {
    throw failure("cannot write", file, error);
  }
}

/** Writes a file in one stroke: whoever reads it meets the old or the new one. */
export async function replaceFile(file: string, bytes: Uint8Array): Promise<void> {
  const part = `${file}.part`;
  try {
    await writeFile(part, bytes);
    await rename(part, file);
  } catch (error) {
    throw failure("cannot write", file, error);
  }
}
