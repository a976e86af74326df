/** Writes the API reference and the guide as pages to docs/api: `npm run docs`. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const folder = join(root, "docs/reference");
const run = (program: string, args: readonly string[], cwd: string) =>
  execFileSync(program, args, { cwd, stdio: "inherit", shell: process.platform === "win32" });

// Typedoc and the TypeScript that it wants are packages of that folder, so that the project's own install stays small.
if (!existsSync(join(folder, "node_modules"))) run("npm", ["ci", "--no-audit", "--no-fund"], folder);
run("npm", ["run", "-s", "types"], root);
run(process.execPath, [join(folder, "node_modules/typedoc/bin/typedoc"), "--options", folder], root);
