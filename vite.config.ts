import { join } from "node:path";
import { defineConfig } from "vite";
import { corpusFiles } from "./demo/corpora/plugin.ts";
import { panels } from "./demo/panels/plugin.ts";
import { kernels } from "./kernels/plugin.ts";

/** The demo: `vite` serves it, `vite build` puts it into dist/demo, `vite preview` serves that. */
export default defineConfig({
  root: join(import.meta.dirname, "demo"),
  base: "./",
  plugins: [kernels(), corpusFiles(), panels()],
  worker: { format: "es", plugins: () => [kernels()] },
  build: { outDir: join(import.meta.dirname, "dist/demo"), emptyOutDir: true, target: "es2022" },
});
