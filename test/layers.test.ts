/** The architecture as the imports show it: one direction, no cycles, short files. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, sep } from "node:path";
import { describe, expect, test } from "vitest";

/** A kernel may be a little longer: WGSL has no import, so an algorithm stays in one file. */
const MAX_LINES = { kernel: 360, other: 300 };

/** What each folder of src/ may import, itself and .wgsl files aside. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = (() => {
  const tensor = ["gpu", "tensor"];
  const autograd = [...tensor, "text", "io", "autograd"];
  const models = [...autograd, "ops", "nn", "models"];
  return {
    gpu: [],
    tensor: ["gpu"],
    text: tensor,
    io: tensor,
    autograd: [...tensor, "text", "io"],
    ops: autograd,
    nn: [...autograd, "ops"],
    models: [...autograd, "ops", "nn"],
    optim: models,
    generate: models,
    train: [...models, "optim", "generate"],
    check: [...models, "optim", "train"],
    worker: [...models, "optim", "generate", "train"],
  };
})();

interface Import {
  readonly path: string;
  /** Path from the root, or the package name as it stands. */
  readonly target: string;
  /** Loaded on use, by `import()`. */
  readonly onUse: boolean;
}

/** Packages that parts of the library load on use, where the user has them. */
const peers = Object.keys(JSON.parse(readFileSync("package.json", "utf8")).peerDependenciesMeta);
const isPeer = ({ target, onUse }: Import) =>
  onUse && peers.some((name) => target === name || target.startsWith(`${name}/`));

const filesOf = (folder: string, ending: RegExp) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => join(folder, path).split(sep).join("/"))
    .filter((path) => ending.test(path) && !/(^|\/)(node_modules|dist)\//.test(path));

function importsOf(path: string, text = readFileSync(path, "utf8")): Import[] {
  const statement = /^\s*(?:import|export)\b(?:[^;"']*?\bfrom)?\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;
  return [...text.matchAll(statement)].map(([, from, dynamic]) => {
    const name = (from ?? dynamic)!;
    return {
      path,
      onUse: dynamic !== undefined,
      target: name.startsWith(".")
        ? normalize(join(dirname(path), name))
            .split(sep)
            .join("/")
        : name,
    };
  });
}

/** Why an import of a file in src/ is against the direction of the layers, or null. */
function fault(one: Import): string | null {
  const { path, target } = one;
  const layer = path.split("/")[1]!;
  if (target === "src/index.ts") return "src/index.ts is for users";
  if (target.startsWith("src/entries/")) return path === "src/index.ts" ? null : "src/entries/ is for users";
  if (target.startsWith("kernels/") && target.endsWith(".wgsl")) return null;
  if (isPeer(one)) return null;
  if (!target.startsWith("src/")) return "the library imports nothing from outside src/";
  if (path === "src/index.ts" || layer === "entries") return null;
  const to = target.split("/")[1]!;
  const allowed = MAY_IMPORT[layer];
  if (!allowed) return `src/${layer} has no place among the layers`;
  return to === layer || allowed.includes(to) ? null : `src/${layer} may not import src/${to}`;
}

/** A path that leads back to its start, found depth first, or null. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | null {
  const done = new Set<string>();
  const visit = (node: string, trail: string[]): string[] | null => {
    if (trail.includes(node)) return [...trail.slice(trail.indexOf(node)), node];
    if (done.has(node)) return null;
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next, [...trail, node]);
      if (cycle) return cycle;
    }
    done.add(node);
    return null;
  };
  for (const node of graph.keys()) {
    const cycle = visit(node, []);
    if (cycle) return cycle;
  }
  return null;
}

const sources = filesOf("src", /\.ts$/);
const imports = sources.flatMap((path) => importsOf(path));

describe("src", () => {
  test("imports go from the right to the left", () => {
    const wrong = imports.map((i) => [fault(i), i] as const).filter(([why]) => why);
    expect(wrong.map(([why, { path, target }]) => `${path} imports ${target}: ${why}`)).toEqual([]);
  });

  test("has no import cycle", () => {
    const graph = new Map<string, string[]>(sources.map((path) => [path, []]));
    for (const { path, target } of imports) graph.get(path)!.push(target);
    expect(findCycle(graph)).toBeNull();
  });

  test("imports files by their full name", () => {
    expect(imports.filter((one) => !isPeer(one) && !/\.(ts|wgsl)$/.test(one.target))).toEqual([]);
  });
});

test("no file is too long to be one concept", () => {
  const folders = ["kernels", "src", "test", "scripts", "cli", "examples", "demo", "bench"].filter((folder) =>
    existsSync(folder),
  );
  const files = folders.flatMap((folder) => filesOf(folder, /\.(ts|tsx|wgsl|css)$/));
  const lengths = files.map((path) => ({ path, lines: readFileSync(path, "utf8").split("\n").length - 1 }));
  const limit = (path: string) => (path.endsWith(".wgsl") ? MAX_LINES.kernel : MAX_LINES.other);
  expect(lengths.filter(({ path, lines }) => lines > limit(path))).toEqual([]);
});

describe("the checks themselves", () => {
  test("read every form of import, but not comments", () => {
    const text = [
      'import type { A } from "../gpu/device.ts";',
      'import {\n  a,\n  b,\n} from "./b.ts";',
      'export * from "./c.ts";',
      'import "./d.ts";',
      'const e = await import("./e.ts");',
      ' * import { f } from "f";',
    ].join("\n");
    const targets = importsOf("src/ops/a.ts", text).map(({ target }) => target);
    expect(targets).toEqual(["src/gpu/device.ts", "src/ops/b.ts", "src/ops/c.ts", "src/ops/d.ts", "src/ops/e.ts"]);
  });

  test.each([
    ["src/gpu/a.ts", "src/tensor/b.ts"],
    ["src/text/a.ts", "src/ops/b.ts"],
    ["src/nn/a.ts", "src/index.ts"],
    ["src/nn/a.ts", "src/entries/core.ts"],
    ["src/nn/a.ts", "node:fs"],
    ["src/ops/a.ts", "kernels/plugin.ts"],
    ["src/fresh/a.ts", "src/gpu/b.ts"],
  ])("refuse %s importing %s", (path, target) => {
    expect(fault({ path, target, onUse: false })).not.toBeNull();
  });

  test("allow a peer to be imported on use, and only then", () => {
    const one = { path: "src/text/a.ts", target: "gpt-tokenizer/encoding/r50k_base" };
    expect(fault({ ...one, onUse: true })).toBeNull();
    expect(fault({ ...one, onUse: false })).not.toBeNull();
    expect(fault({ ...one, target: "gpt-tokenizers", onUse: true })).not.toBeNull();
  });

  test("find a cycle", () => {
    const graph = new Map([
      ["a", ["b"]],
      ["b", ["c", "d"]],
      ["c", []],
      ["d", ["b"]],
    ]);
    expect(findCycle(graph)).toEqual(["b", "d", "b"]);
  });
});
