import { spawn } from "node:child_process";
import { watch } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";

const root = join(import.meta.dirname, "..");
/** Editors write a file in several steps. */
const SETTLE_MS = 200;

/** Runs the same command without --watch now and after every change; never ends by itself. */
export async function watchSources(files: readonly string[]): Promise<never> {
  const args = process.argv.slice(2).filter((arg) => arg !== "--watch");
  let changed = true;
  let wake = () => {};
  const note = (_: unknown, name: string | null) => {
    if (name && !/\.(wgsl|ts)$/.test(name)) return;
    changed = true;
    wake();
  };
  for (const folder of ["kernels", "src", "bench/suite", "bench/roofline", "bench/scenarios", "bench/kernel"])
    watch(join(root, folder), { recursive: true }, note);
  watch(join(root, "bench"), note);
  // Their folders: many editors put a new file in the place of the old one, which a watch of the old would not see.
  for (const file of files)
    watch(dirname(resolve(file)), (event, name) => {
      if (name === null || name === basename(file)) note(event, name);
    });
  for (;;) {
    if (!changed)
      await new Promise<void>((settle) => {
        wake = settle;
      });
    await new Promise((settle) => setTimeout(settle, SETTLE_MS));
    changed = false;
    // A process of its own: the modules of this one are those of the first run.
    const child = spawn(process.execPath, [join(root, "scripts/run.mjs"), ...args], {
      stdio: "inherit",
      cwd: process.cwd(),
    });
    await new Promise((settle) => child.on("exit", settle));
  }
}
