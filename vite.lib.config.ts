import { join } from "node:path";
import { defineConfig } from "vite";
import { kernels } from "./kernels/plugin.ts";

const at = (path: string) => join(import.meta.dirname, path);

/** Entry points of the package for pages, workers, Node and Deno; package.json names them again under `exports`. */
const narrow = ["nn", "models", "generate", "train", "io", "text", "check", "worker", "serve"];
const entries = {
  ...Object.fromEntries(narrow.map((name) => [name, at(`src/entries/${name}.ts`)])),
  suite: at("cli/suite.ts"), // no entry point: the command line's bench, which shares the library's modules
};

/** The library: one ES module an entry point, in dist/lib; what they share is loaded once. */
export default defineConfig({
  plugins: [kernels(), kernels({ folder: "bench/roofline" })],
  build: {
    lib: { entry: { index: at("src/index.ts"), ...entries }, formats: ["es"] },
    rolldownOptions: {
      checks: { pluginTimings: false },
      // Peers that are imported on use stay the user's.
      external: [/^@huggingface\/tokenizers$/, /^gpt-tokenizer\//],
      output: { preserveModules: true, preserveModulesRoot: at("src"), entryFileNames: "[name].js" },
    },
    outDir: at("dist/lib"),
    target: "es2022",
    minify: false,
  },
});
