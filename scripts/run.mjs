// Runs a TypeScript script on any Node: `node scripts/run.mjs scripts/types.ts [arguments]`.
import { resolve } from "node:path";
import { runnerImport } from "vite";

const options = { configFile: false, logLevel: "error" };
const { module } = await runnerImport(resolve(import.meta.dirname, "../kernels/plugin.ts"), options);
await runnerImport(resolve(process.argv[2]), { ...options, plugins: [module.kernels()] });
