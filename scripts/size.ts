/**
 * Bytes that the library adds to a page, minified and gzipped, kernels included: all of it, and its
 * core (device, tensor, autograd, recurrent layers, training, generation), which has a budget.
 */
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Rollup } from "vite";
import { kernels } from "../kernels/plugin.ts";

const BUDGET = 60_000;
/** What a page that trains and runs recurrent models imports; the rest of the library is shaken off. */
const CORE = [
  ...["openDevice", "profile", "tensor", "zeros", "ones", "scope", "keep", "capture", "Generator"],
  ...["backward", "noGrad", "detach", "checkpoint", "Linear", "Embedding", "Dropout", "RNN", "GRU", "LSTM"],
  ...["RecurrentLanguageModel", "crossEntropy", "AdamW", "Session", "generate", "CharTokenizer"],
];
const root = join(import.meta.dirname, "..");

async function sizeOf(code: string): Promise<{ minified: number; gzipped: number }> {
  const entry = "virtual:entry";
  const output = (await build({
    root,
    configFile: false,
    logLevel: "error",
    plugins: [
      kernels(),
      { name: "entry", resolveId: (id) => (id === entry ? id : null), load: (id) => (id === entry ? code : null) },
    ],
    build: {
      write: false,
      target: "es2022",
      modulePreload: false,
      rolldownOptions: { input: entry, preserveEntrySignatures: "strict" },
    },
  })) as Rollup.RollupOutput;
  const text = output.output.map((part) => ("code" in part ? part.code : "")).join("");
  return { minified: Buffer.byteLength(text), gzipped: gzipSync(text).length };
}

const entries = {
  "whole library": `export * from "/src/index.ts";`,
  core: `export { ${CORE.join(", ")} } from "/src/index.ts";`,
};
for (const [name, code] of Object.entries(entries)) {
  const { minified, gzipped } = await sizeOf(code);
  console.log(`${name}: ${(minified / 1000).toFixed(1)} kB minified, ${(gzipped / 1000).toFixed(1)} kB gzipped`);
  if (name === "core" && gzipped > BUDGET) {
    console.error(`the core is over its budget of ${BUDGET / 1000} kB`);
    process.exitCode = 1;
  }
}
