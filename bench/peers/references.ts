import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { reference } from "./reference/reference.ts";
import { WORKLOADS, type WorkloadName } from "./workloads.ts";

/** Whatever a reference depends on; a change of one of these files makes all of them anew. */
const SOURCES = [
  "workloads.ts",
  "reference/tape.ts",
  "reference/rows.ts",
  "reference/models.ts",
  "reference/reference.ts",
];

/** Computes the float64 references that are not in the cache. @returns the folder that holds NAME.json */
export function ensureReferences(root: string, cache: string, names: readonly WorkloadName[]): string {
  const hash = createHash("sha256");
  for (const source of SOURCES) hash.update(readFileSync(join(root, source)));
  const folder = join(cache, `references-${hash.digest("hex").slice(0, 12)}`);
  mkdirSync(folder, { recursive: true });
  for (const name of names) {
    const file = join(folder, `${name}.json`);
    if (existsSync(file)) continue;
    process.stderr.write(`computing the reference of ${name}\n`);
    const texts = Object.entries(reference(WORKLOADS[name]())).map(([key, values]) => {
      const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
      return [key, bytes.toString("base64")];
    });
    writeFileSync(file, JSON.stringify(Object.fromEntries(texts)));
  }
  return folder;
}
