/** Runs an example against the library as it is: `npm run example stream`. Builds that library first. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createServer } from "vite";

const root = join(import.meta.dirname, "..");
const folder = join(root, "examples");
const [name = "", ...args] = process.argv.slice(3);
const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isDirectory());
if (!names.some((entry) => entry.name === name)) {
  console.error(`There are these examples: ${names.map((entry) => entry.name).join(", ")}.`);
  process.exit(1);
}

execFileSync("npm", ["run", "-s", "build:lib"], { cwd: root, stdio: "inherit", shell: process.platform === "win32" });

const place = join(folder, name);
const programs: Readonly<Record<string, readonly string[]>> = {
  node: [process.execPath, "main.js"],
  deno: [join(root, "node_modules/.bin/deno"), "run", "--unstable-webgpu", "--allow-all", "main.ts"],
};
const [program, ...before] = programs[name] ?? [];
if (program) {
  const child = spawn(program, [...before, ...args], { cwd: place, stdio: "inherit" });
  child.on("exit", (code) => process.exit(code ?? 1));
} else {
  const own = join(place, "vite.config.ts");
  const server = await createServer({ root: place, configFile: existsSync(own) ? own : false });
  await server.listen();
  server.printUrls();
}
