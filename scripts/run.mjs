// Runs a TypeScript script on any Node: `node scripts/run.mjs scripts/types.ts [arguments]`.
import { resolve } from "node:path";
import { runnerImport } from "vite";

await runnerImport(resolve(process.argv[2]), { configFile: false, logLevel: "error" });
