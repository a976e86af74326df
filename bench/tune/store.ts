/** The table of winners as the engine reads it: src/ops/tunedTable.ts. */
import { join } from "node:path";
import type { TunedKnobs } from "../../src/ops/tuned.ts";

export const TABLE_FILE = join(import.meta.dirname, "..", "..", "src", "ops", "tunedTable.ts");

const HEAD =
  "/** Knobs that were measured to be the fastest, by adapter. Written by `npm run tune`; tuned.ts tells what may stand here. */";

/** A value as TypeScript, an entry a line, as the formatter of this project has it. */
function literal(value: unknown, indent = ""): string {
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  const entries = Object.entries(value).map(([key, member]) => {
    const name = /^[A-Za-z_]\w*$/.test(key) ? key : JSON.stringify(key);
    return `${inner}${name}: ${literal(member, inner)},\n`;
  });
  return entries.length === 0 ? "{}" : `{\n${entries.join("")}${indent}}`;
}

/** The file with the entries given, sorted by adapter. */
export function tableText(table: Readonly<Record<string, TunedKnobs>>): string {
  const sorted = Object.fromEntries(Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1)));
  return `${HEAD}\nexport const MEASURED = ${literal(sorted)} as const;\n`;
}
