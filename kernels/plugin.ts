/**
 * Vite plug-in: turns each kernels/**.wgsl into a typed module at build time, so that no bundle holds a
 * WGSL parser. The types are declaration files under node_modules/.kernels, which `rootDirs` in
 * tsconfig.json lays over the source tree.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, sep } from "node:path";
import type { Plugin } from "vite";
import type { Kernel } from "../src/gpu/kernel.ts";
import { describe } from "./describe.ts";
import { strip } from "./strip.ts";

const FOLDER = "kernels";
const TYPES = join("node_modules", ".kernels", FOLDER);
const KERNEL = ".wgsl";
const DECLARATION = ".d.wgsl.ts";

/** Paths below `folder` of the files that end in `ending`, without that ending, with forward slashes, sorted. */
function list(folder: string, ending: string): string[] {
  if (!existsSync(folder)) return [];
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((path) => path.endsWith(ending));
  return paths.map((path) => path.slice(0, -ending.length).split(sep).join("/")).sort();
}

/** Names of all kernels, such as "elementwise/unary". */
export function kernelNames(root: string): string[] {
  return list(join(root, FOLDER), KERNEL);
}

/** Reads and describes the kernel called `name`; `minify` takes out comments and blanks first. */
export function loadKernel(root: string, name: string, minify = false): Kernel {
  const source = readFileSync(join(root, FOLDER, name + KERNEL), "utf8");
  if (!source.startsWith("//"))
    throw new Error(`kernels/${name}.wgsl: no head comment; start with // lines that give formula, shapes and source`);
  return describe(minify ? strip(source) : source, name);
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
export function declaration(kernel: Kernel): string {
  const knobs = Object.entries(kernel.knobs).map(
    ([name, { kind, type }]) =>
      `\n    readonly ${name}: { readonly kind: ${JSON.stringify(kind)}; readonly type: ${JSON.stringify(type)}; ${SPAN} };`,
  );
  return `// Generated from kernels/${kernel.name}.wgsl by kernels/plugin.ts.
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
export function writeTypes(root: string): Error[] {
  const errors: Error[] = [];
  const names = kernelNames(root);
  const stale = new Set(list(join(root, TYPES), DECLARATION));
  for (const name of names) {
    try {
      const text = declaration(loadKernel(root, name));
      const file = join(root, TYPES, name + DECLARATION);
      if (!stale.delete(name) || readFileSync(file, "utf8") !== text) {
        mkdirSync(dirname(file), { recursive: true });
        writeFileSync(file, text);
      }
    } catch (error) {
      errors.push(error as Error);
    }
  }
  for (const name of stale) rmSync(join(root, TYPES, name + DECLARATION), { force: true });
  return errors;
}

/** The plug-in; `root` is the folder that holds kernels/ and node_modules/. */
export function kernels(root = join(import.meta.dirname, "..")): Plugin {
  let minify = false;
  return {
    name: "kernels",
    configResolved(config) {
      minify = config.command === "build";
    },
    buildStart() {
      for (const error of writeTypes(root)) this.warn(error.message);
    },
    watchChange(id) {
      if (id.endsWith(KERNEL)) writeTypes(root);
    },
    transform: {
      filter: { id: /\.wgsl$/ },
      handler(_, id) {
        const name = relative(join(root, FOLDER), id).slice(0, -KERNEL.length).split(sep).join("/");
        const kernel = loadKernel(root, name, minify);
        return { code: `export default ${JSON.stringify(kernel)};`, map: null, moduleType: "js" };
      },
    },
  };
}
