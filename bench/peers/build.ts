import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build, type Rollup } from "vite";
import { kernels } from "../../kernels/plugin.ts";
import type { Peer } from "./peers.ts";
import type { BundleSize } from "./record.ts";

/** URL prefix under which the page finds files of npm packages that cannot be bundled. */
export const PACKAGES = "packages";

/** Builds the page and an adapter a peer into `outDir`; returns what each engine adds to a page. */
export async function buildAdapters(
  root: string,
  outDir: string,
  peers: readonly Peer[],
): Promise<Record<string, BundleSize>> {
  const adapters = peers.map(({ name }) => [name, join(root, "adapters", `${name}.ts`)]);
  const output = (await build({
    root,
    configFile: false,
    logLevel: "error",
    publicDir: false,
    plugins: [kernels()],
    define: { "process.env.NODE_ENV": `"production"` },
    build: {
      outDir,
      emptyOutDir: true,
      target: "es2022",
      modulePreload: false,
      chunkSizeWarningLimit: Number.POSITIVE_INFINITY,
      rolldownOptions: {
        input: { page: join(root, "page/page.ts"), ...Object.fromEntries(adapters) },
        external: (id) => id.startsWith(`/${PACKAGES}/`),
        preserveEntrySignatures: "strict",
        output: {
          entryFileNames: "[name].js",
          chunkFileNames: "[name].js",
          // Compression turns a `typeof` check into a plain read in code that tfjs moves to its workers as text.
          minify: { compress: false, mangle: true, codegen: true },
        },
      },
    },
  })) as Rollup.RollupOutput;
  const chunks = new Map(
    output.output.flatMap((part) => (part.type === "chunk" ? [[part.fileName, part] as const] : [])),
  );
  return Object.fromEntries(peers.map((peer) => [peer.name, sizeOf(root, peer, chunks)]));
}

/** The adapter's chunk with all that it imports, and what it loads later. */
function sizeOf(root: string, { name, loads = [] }: Peer, chunks: ReadonlyMap<string, Rollup.OutputChunk>): BundleSize {
  const reached = new Set([`${name}.js`]);
  for (const file of reached) for (const other of chunks.get(file)?.imports ?? []) reached.add(other);
  const parts = [
    ...[...reached].flatMap((file) => chunks.get(file)?.code ?? []).map((code) => Buffer.from(code)),
    ...loads.map((file) => readFileSync(join(root, "node_modules", file))),
  ];
  const total = (sizes: readonly number[]) => sizes.reduce((sum, size) => sum + size, 0);
  return {
    minified: total(parts.map(({ length }) => length)),
    gzipped: total(parts.map((part) => gzipSync(part, { level: 9 }).length)),
  };
}
