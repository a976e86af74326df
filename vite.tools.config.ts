import { join } from "node:path";
import { defineConfig } from "vite";
import { kernels } from "./kernels/plugin.ts";

const at = (path: string) => join(import.meta.dirname, path);

/** What of the package runs in Node and in builds, in dist/tools: the kernels' build and the command line. */
export default defineConfig({
  plugins: [
    kernels(),
    {
      name: "suite", // built into dist/lib, where it shares the library's modules
      enforce: "pre",
      resolveId: (id) => (id === "./suite.ts" ? { id: "../lib/suite.js", external: "relative" } : null),
    },
  ],
  build: {
    ssr: true,
    rolldownOptions: {
      input: { vite: at("kernels/vite.ts"), describe: at("kernels/describe.ts"), cli: at("cli/main.ts") },
      external: [/^node:/, /^wgsl_reflect/, /^webgpu$/, /^ostinato/],
      output: { entryFileNames: "[name].js", chunkFileNames: "shared/[name].js" },
    },
    outDir: at("dist/tools"),
    target: "node20",
    minify: false,
  },
  ssr: { noExternal: true, external: ["vite"] },
});
