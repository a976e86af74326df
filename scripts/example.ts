/** Runs an example against the library as it is: `npm run example stream`; without a name it lists them all. */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createServer } from "vite";

const root = join(import.meta.dirname, "..");
const folder = join(root, "examples");

/** What each example shows, by its name: rows of the table in examples/README.md. */
function known(): Map<string, string> {
  const index = readFileSync(join(folder, "README.md"), "utf8");
  const rows = index.matchAll(/^\| `npm run example (\w+).*?` \| (.*?) \|/gm);
  return new Map([...rows].map(([, name = "", shows = ""]) => [name, shows.replaceAll("`", "")]));
}

/** Milliseconds of the last change of a file, or within a folder; 0 if there is none. */
function changed(path: string): number {
  const found = statSync(join(root, path), { throwIfNoEntry: false });
  if (!found?.isDirectory()) return found?.mtimeMs ?? 0;
  return Math.max(found.mtimeMs, ...readdirSync(join(root, path)).map((name) => changed(join(path, name))));
}

/** Builds the library, unless it is newer than what it is made of. */
function build(): void {
  const sources = ["src", "kernels", "package.json", "vite.lib.config.ts", "vite.tools.config.ts"].map(changed);
  const last = changed("dist/types/src/index.d.ts"); // what the build writes at the end
  if (Math.max(...sources) < last) return;
  console.error("building the library");
  const options = { cwd: root, shell: process.platform === "win32" };
  // What the build says must not stand in an example's output.
  execFileSync("npm", ["run", "-s", "build:lib"], { ...options, stdio: ["ignore", process.stderr.fd, "inherit"] });
}

async function start(name: string, args: readonly string[]): Promise<void> {
  const place = join(folder, name);
  const programs: Readonly<Record<string, readonly string[]>> = {
    node: [process.execPath, "main.js"],
    deno: [join(root, "node_modules/.bin/deno"), "run", "--unstable-webgpu", "--allow-all", "main.ts"],
  };
  const [program, ...before] = programs[name] ?? [];
  if (program) {
    const child = spawn(program, [...before, ...args], { cwd: place, stdio: "inherit" });
    child.on("exit", (code) => process.exit(code ?? 1));
    return;
  }
  const own = join(place, "vite.config.ts");
  const server = await createServer({
    root: place,
    configFile: existsSync(own) && own,
    cacheDir: join(root, "node_modules/.vite", name), // two examples at a time prepare different packages
  });
  await server.listen();
  server.printUrls();
}

const [name, ...args] = process.argv.slice(3);
const examples = known();
if (name !== undefined && examples.has(name)) {
  build();
  await start(name, args);
} else {
  const width = Math.max(...[...examples.keys()].map(({ length }) => length));
  const list = [...examples].map(([example, shows]) => `  ${example.padEnd(width)}  ${shows}`).join("\n");
  if (name === undefined) console.log(`npm run example NAME\n\n${list}`);
  else console.error(`There is no example ${name}; there are:\n${list}`);
  process.exitCode = name === undefined ? 0 : 1;
}
