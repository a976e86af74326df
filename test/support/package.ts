/** The package as users get it: built, packed and installed in a project of its own. */
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export const ROOT = join(import.meta.dirname, "../..");
const run = promisify(execFile);

/** Milliseconds for a hook that installs the package, on a machine that does other things too. */
export const PACK_TIMEOUT = 180_000;

interface RunOptions {
  /** By default the project. */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface Project {
  readonly folder: string;
  readonly tarball: string;
  /** Runs a program and gives what it prints; rejects unless it exits with 0. */
  node(script: string, args: readonly string[], options?: RunOptions): Promise<string>;
}

let project: Promise<Project> | null = null;

/** Built once for all test files; the other packages are those of this repository. */
export function installPackage(): Promise<Project> {
  project ??= install();
  return project;
}

async function install(): Promise<Project> {
  const folder = mkdtempSync(join(tmpdir(), "ostinato-user-"));
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
  await run("npm", ["pack", "--pack-destination", folder], { cwd: ROOT });
  const tarball = readdirSync(folder).find((name) => name.endsWith(".tgz"));
  if (!tarball) throw new Error("npm pack left no file");
  execFileSync("tar", ["-xzf", tarball], { cwd: folder });
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  for (const name of readdirSync(join(ROOT, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(ROOT, "node_modules", name), join(modules, name));
  }
  renameSync(join(folder, "package"), join(modules, "ostinato"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "user", private: true, type: "module" }));
  return {
    folder,
    tarball: join(folder, tarball),
    async node(script, args, { cwd = folder, env = {} } = {}) {
      try {
        const { stdout } = await run(process.execPath, [script, ...args], {
          cwd,
          env: { ...process.env, ...env },
        });
        return stdout;
      } catch (error) {
        const { stdout, stderr } = error as { stdout: string; stderr: string };
        throw new Error(`node ${script} ${args.join(" ")}\n${stdout}\n${stderr}`);
      }
    },
  };
}
