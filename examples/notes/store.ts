/** Files of this page in the origin private file system: they survive a reload and are nobody else's. */
const folder = navigator.storage.getDirectory();

/** A file, or null before it was first saved. */
export async function load(name: string): Promise<File | null> {
  try {
    const handle = await (await folder).getFileHandle(name);
    return await handle.getFile();
  } catch (error) {
    if ((error as DOMException).name === "NotFoundError") return null;
    throw error;
  }
}

/** Replaces a file in one stroke: closing the stream swaps it in, so a page that dies meanwhile loses nothing. */
export async function save(name: string, bytes: Uint8Array<ArrayBuffer> | string): Promise<void> {
  const handle = await (await folder).getFileHandle(name, { create: true });
  const stream = await handle.createWritable();
  await stream.write(bytes);
  await stream.close();
}

export async function forget(...names: string[]): Promise<void> {
  for (const name of names) if (await load(name)) await (await folder).removeEntry(name);
}
