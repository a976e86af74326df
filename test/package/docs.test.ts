/** The guide's code: every block compiles against the packed library, and most pages run from top to bottom. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { findChrome, findVulkan } from "../../scripts/chrome.ts";
import { installPackage, PACK_TIMEOUT, type Project, ROOT } from "../support/package.ts";

const DOCS = join(ROOT, "docs");
const pages = readdirSync(DOCS).filter((file) => file.endsWith(".md") && file !== "README.md");
const index = readFileSync(join(DOCS, "README.md"), "utf8");
const vulkan = findVulkan(await findChrome());

let project: Project;
let folder: string;

/** The README's blocks are parts of a page that has a text and a place to write to. */
const README = "../README.md";
const README_PAGE = "declare const output: HTMLElement;\ndeclare const text: string;\n";

/** Blocks of a page by what stands after the fence: `ts`, `wgsl`, or `ts worker` for a module of its own. */
function blocksOf(page: string): Map<string, string[]> {
  const blocks = new Map<string, string[]>();
  for (const [, info = "", code = ""] of readFileSync(join(DOCS, page), "utf8").matchAll(/^```([^\n]+)\n(.*?)^```$/gms))
    blocks.set(info, [...(blocks.get(info) ?? []), code]);
  return blocks;
}

beforeAll(async () => {
  project = await installPackage();
  folder = join(project.folder, "guide");
  mkdirSync(join(folder, "kernels"), { recursive: true });
  for (const page of pages) {
    const name = page.replace(".md", "");
    for (const [info, code] of blocksOf(page)) {
      if (info === "wgsl") writeFileSync(join(folder, "kernels/cube.wgsl"), code.join("\n"));
      else if (info.startsWith("ts"))
        writeFileSync(join(folder, `${name}${info.slice(2).replace(" ", ".")}.ts`), code.join("\n"));
    }
  }
  writeFileSync(join(folder, "readme.ts"), README_PAGE + (blocksOf(README).get("ts") ?? []).join("\n"));
  const compilerOptions = {
    target: "es2022",
    lib: ["esnext", "dom", "dom.iterable", "dom.asynciterable"],
    module: "esnext",
    moduleResolution: "bundler",
    types: [],
    strict: true,
    noEmit: true,
    skipLibCheck: true,
  };
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, include: ["*.ts"] }));
}, PACK_TIMEOUT);

test("the index names every page, and the reference shows them in its order", () => {
  const named = [...index.matchAll(/^\d+\. \[.*?\]\(([a-z-]+\.md)\)/gm)].map(([, page]) => page as string);
  expect([...named].sort()).toEqual([...pages].sort());
  const { projectDocuments } = JSON.parse(readFileSync(join(DOCS, "reference/typedoc.json"), "utf8"));
  expect(projectDocuments).toEqual(named.map((page) => `../${page}`));
});

test("every block compiles", async () => {
  await project.node(join(ROOT, "node_modules/typescript/bin/tsc"), ["-p", folder]);
});

test("the commands that the guide shows are there, with their options", async () => {
  const commands = [...pages, README].flatMap((page) => [
    ...readFileSync(join(DOCS, page), "utf8").matchAll(/^ *npx ostinato (\w+)(.*?)(?: {2,}#.*)?$/gm),
  ]);
  const cli = join(project.folder, "node_modules/ostinato/dist/tools/cli.js");
  const names = [...new Set(commands.map(([, name]) => name as string))];
  expect(names.sort()).toEqual(["bench", "generate", "info", "train"]);
  const helps = new Map(
    await Promise.all(names.map(async (name) => [name, await project.node(cli, [name, "--help"])] as const)),
  );
  for (const [line, name = "", rest = ""] of commands)
    for (const [option] of rest.matchAll(/--[a-z0-9-]+/g)) expect(helps.get(name), line).toContain(`${option} `);
});

describe.skipIf("missing" in vulkan)("pages run", () => {
  const starred = [...index.matchAll(/\]\((.+)\.md\) ★/g)].map(([, name]) => name as string);
  let printed: Map<string, string>;
  beforeAll(async () => {
    copyFileSync(join(ROOT, "test/fixtures/torch/lstm.pth"), join(folder, "lstm.pth"));
    copyFileSync(join(ROOT, "examples/whale.safetensors"), join(folder, "whale.safetensors"));
    writeFileSync(
      join(folder, "run.mjs"),
      `
      import { readFileSync } from "node:fs";
      import { build } from "vite";
      import { create, globals } from "webgpu";

      const folder = import.meta.dirname;
      const pages = process.argv.slice(2);
      // A build, as a reader has one: Node 20 knows neither types nor \`using\`.
      await build({
        root: folder,
        configFile: false,
        logLevel: "error",
        build: {
          ssr: true,
          target: "es2022",
          outDir: folder + "/built",
          rolldownOptions: {
            input: pages.map((page) => folder + "/" + page + ".ts"),
            output: { entryFileNames: "[name].mjs" },
          },
        },
      });
      // As in a page: navigator.gpu, and files beside it.
      Object.assign(globalThis, globals);
      const gpu = create([]);
      Object.defineProperty(globalThis, "navigator", { value: { gpu } });
      globalThis.fetch = async (path) => new Response(readFileSync(folder + "/" + path));
      for (const page of pages) {
        console.log("# " + page);
        await import(folder + "/built/" + page + ".mjs");
      }
      process.exit();`,
    );
    const said = await project.node(join(folder, "run.mjs"), starred, "env" in vulkan ? { env: vulkan.env } : {});
    printed = new Map(said.split("# ").map((text) => [text.slice(0, text.indexOf("\n")), text]));
  }, 120_000);

  test.each([
    ["first-model", /^\[\] 3\.5$/m],
    ["first-model", /^lstm 7086\n.* 20 312$/m],
    ["memory", /^true\n0$/m],
    ["capture", /^\d+ \d\.\d+$/m],
    ["kernels", /3, 12, 27/],
    ["precision", /1, 0\.333251953125, 2, 65504.*^2\.0\d+$.*^2$.*^true$/ms],
    ["pytorch", /^\[ 4, 2, 10 \]\nwords\.weight rnn\.weight_ih_l0 .*tags\.bias\n\d+$/m],
  ])("%s prints %s", (page, expected) => {
    expect(printed.get(page)).toMatch(expected);
  });
});
