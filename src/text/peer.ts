import { OstinatoError } from "../gpu/errors.ts";

/**
 * A package that only some tokenizers need.
 * @param load its import, spelled out where it is used so that bundlers see it
 * @throws OstinatoError if it is not installed
 */
export async function peer<T>(op: string, name: string, load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (error) {
    const reason = error instanceof Error ? error.message.split("\n")[0] : String(error);
    throw new OstinatoError(`${op}: the package ${name} cannot be loaded (${reason}); add it: npm install ${name}`);
  }
}
