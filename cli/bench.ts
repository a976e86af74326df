import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Failure } from "./failure.ts";

/** From dist/tools, where this file is built to. */
const repository = join(import.meta.dirname, "../..");

/** Hands over to the repository's bench. @throws Failure where the package stands alone, or the bench fails */
export async function bench(args: readonly string[]): Promise<void> {
  const script = join(repository, "bench/run.ts");
  if (!existsSync(script)) {
    throw new Failure(
      "the bench needs the kernels' sources and a browser, which the package does not bring; clone Ostinato's repository and run `npm ci && npm run bench` there",
    );
  }
  const child = spawn(process.execPath, ["scripts/run.mjs", script, ...args], { cwd: repository, stdio: "inherit" });
  const code = await new Promise((resolve) => child.on("exit", resolve));
  if (code !== 0) throw new Failure(`the bench ended with ${code}`);
}
