/**
 * The build of kernels, for projects that write .wgsl files of their own and import them.
 * @module ostinato/vite
 */
import type { Plugin } from "vite";
import { type KernelFolder, kernels as ofFolder } from "./plugin.ts";

export type { KernelFolder };

/**
 * Vite plug-in: `import softmax from "../kernels/softmax.wgsl"` gives a kernel for `Device.dispatch`, typed once
 * tsconfig.json has `"allowArbitraryExtensions": true` and `"rootDirs": [".", "node_modules/.kernels"]`. Needs the
 * package wgsl_reflect at build time; the bundle holds no parser.
 *
 * @param place by default the folder `kernels` of the project in which the build runs
 */
export function kernels({ root = process.cwd(), folder }: KernelFolder = {}): Plugin {
  return ofFolder({ root, folder });
}
