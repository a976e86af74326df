import { kernels } from "ostinato/vite";
import { defineConfig } from "vite";

/** Makes modules of the .wgsl files in the folder kernels/. */
export default defineConfig({ plugins: [kernels({ root: import.meta.dirname })] });
