import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Report } from "../../bench/job.ts";

/** A folder for runs of the bench, and the bench itself in Node, each run short. */
export function openBench() {
  const folder = mkdtempSync(join(tmpdir(), "bench-"));
  return {
    folder,
    bench(...args: string[]) {
      const json = join(folder, "run.json");
      const line = ["scripts/run.mjs", "bench/run.ts", "--runtime", "node", "--quick", "--json", json, ...args];
      const { status, stdout, stderr } = spawnSync(process.execPath, line, { encoding: "utf8" });
      return { status, text: stdout + stderr, report: () => JSON.parse(readFileSync(json, "utf8")) as Report };
    },
    close: () => rmSync(folder, { recursive: true, force: true }),
  };
}
