/**
 * Vite plug-in: turns each .wgsl file of a folder into a typed module at build time, so that no bundle holds a
 * WGSL parser. The types are declaration files under node_modules/.kernels, which `rootDirs` in
 * tsconfig.json lays over the source tree.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import type { Plugin } from "vite";
import type { Kernel } from "../src/gpu/kernel.ts";
import { describe } from "./describe.ts";
import { strip } from "./strip.ts";

/** Where kernels lie. */
export interface KernelFolder {
  /** The folder that holds node_modules, by default that of the project. */
  readonly root?: string;
  /** The folder of the .wgsl files, from `root`; by default `kernels`. */
  readonly folder?: string;
}

const TYPES = join("node_modules", ".kernels");
const KERNEL = ".wgsl";
const DECLARATION = ".d.wgsl.ts";

/** Paths below `folder` of the files that end in `ending`, without that ending, with forward slashes, sorted. */
function list(folder: string, ending: string): string[] {
  if (!existsSync(folder)) return [];
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(ending));
  return paths.map((path) => path.slice(0, -ending.length).split(sep).join("/")).sort();
}

const completed = ({ root = join(import.meta.dirname, ".."), folder = "kernels" }: KernelFolder) => ({ root, folder });

/** Names of all kernels, such as "elementwise/unary". */
export function kernelNames(place: KernelFolder = {}): string[] {
  const { root, folder } = completed(place);
  return list(join(root, folder), KERNEL);
}

/** Reads and describes the kernel called `name`; `minify` takes out comments and blanks first. */
export function loadKernel(place: KernelFolder, name: string, minify = false): Kernel {
  const { root, folder } = completed(place);
  const file = `${folder}/${name}${KERNEL}`;
  const source = readFileSync(join(root, file), "utf8");
  if (!source.startsWith("//"))
    throw new Error(`${file}: no head comment; start with // lines that give formula, shapes and source`);
  return describe(minify ? strip(source) : source, name, file);
}

/** A value as a literal type, arrays as readonly tuples. */
function literalType(value: unknown): string {
  if (Array.isArray(value)) return `readonly [${value.map(literalType).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(([key, v]) => `\n  readonly ${JSON.stringify(key)}: ${literalType(v)};`);
  return `{${members.join("").replaceAll("\n", "\n  ")}\n  }`;
}

/** Written out in every knob: declarations that name it must not need an import. */
const SPAN = "readonly value: string; readonly start: number; readonly end: number";

/** Text of the declaration file. Spans and text differ between builds and are no literals. */
export function declaration(kernel: Kernel, folder = "kernels"): string {
  const knobs = Object.entries(kernel.knobs).map(
    ([name, { kind, type }]) =>
      `\n    readonly ${name}: { readonly kind: ${JSON.stringify(kind)}; readonly type: ${JSON.stringify(type)}; ${SPAN} };`,
  );
  return `// Generated from ${folder}/${kernel.name}.wgsl.
declare const kernel: {
  readonly name: ${JSON.stringify(kernel.name)};
  readonly source: string;
  readonly features: ${literalType(kernel.features)};
  readonly knobs: {${knobs.join("")}
  };
  readonly entries: ${literalType(kernel.entries)};
  readonly params: ${literalType(kernel.params)};
};
export default kernel;
`;
}

/**
 * Brings the declaration files up to date and removes those of deleted kernels.
 * @returns what is wrong with kernels that cannot be described; they get no types
 */
export function writeTypes(place: KernelFolder = {}): Error[] {
  const { root, folder } = completed(place);
  const errors: Error[] = [];
  const types = join(root, TYPES, folder);
  const stale = new Set(list(types, DECLARATION));
  for (const name of kernelNames(place)) {
    try {
      const text = declaration(loadKernel(place, name), folder);
      const file = join(types, name + DECLARATION);
      if (!stale.delete(name) || readFileSync(file, "utf8") !== text) {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, text);
      }
    } catch (error) {
      errors.push(error as Error);
    }
  }
  for (const name of stale) rmSync(join(types, name + DECLARATION), { force: true });
  return errors;
}

/** The plug-in: modules and types of the kernels of one folder. */
export function kernels(place: KernelFolder = {}): Plugin {
  const { root, folder } = completed(place);
  let minify = false;
  return {
    name: `kernels:${folder}`,
    configResolved(config) {
      minify = config.command === "build";
    },
    buildStart() {
      for (const error of writeTypes(place)) this.warn(error.message);
    },
    watchChange(id) {
      if (id.endsWith(KERNEL)) writeTypes(place);
    },
    transform: {
      filter: { id: /\.wgsl$/ },
      handler(_, id) {
        const path = relative(join(root, folder), id).split(sep).join("/");
        if (path.startsWith("../")) return null;
        const kernel = loadKernel(place, path.slice(0, -KERNEL.length), minify);
        return { code: `export default ${JSON.stringify(kernel)};`, map: null, moduleType: "js" };
      },
    },
  };
}
