import { defineConfig } from "vite";
import { kernels } from "./kernels/plugin.ts";

/** The demo: `vite` serves it, `vite build` puts it into dist/. */
export default defineConfig({
  root: "demo",
  base: "./",
  plugins: [kernels()],
  worker: { format: "es", plugins: () => [kernels()] },
  build: { outDir: "../dist", emptyOutDir: true, target: "es2022", chunkSizeWarningLimit: 1000 },
});
