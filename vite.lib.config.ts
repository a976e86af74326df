import { join } from "node:path";
import { defineConfig } from "vite";
import { kernels } from "./kernels/plugin.ts";

/** The library as one ES module, dist/lib/index.js. */
export default defineConfig({
  plugins: [kernels()],
  build: {
    lib: { entry: join(import.meta.dirname, "src/index.ts"), formats: ["es"], fileName: "index" },
    outDir: join(import.meta.dirname, "dist/lib"),
    target: "es2022",
    minify: false,
  },
});
