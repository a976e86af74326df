/** What `npm pack` makes: its entry points, their types, its size. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { publint } from "publint";
import { formatMessage } from "publint/utils";
import { beforeAll, describe, expect, test } from "vitest";
import { installPackage, PACK_TIMEOUT, type Project, ROOT } from "../support/package.ts";

const { bin: _, ...manifest } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const entries = Object.keys(manifest.exports).filter((name) => name !== "./package.json");
const specifier = (name: string) => name.replace(".", "ostinato");

let project: Project;
beforeAll(async () => {
  project = await installPackage();
}, PACK_TIMEOUT);

test("the package needs no other at run time", () => {
  expect(manifest.dependencies).toBeUndefined();
  for (const peer of Object.keys(manifest.peerDependencies)) {
    expect(manifest.peerDependenciesMeta[peer]).toEqual({ optional: true });
  }
});

test("every entry of src/entries is exported, and no more", () => {
  const types = entries.map((name) => manifest.exports[name].types);
  const files = readdirSync(join(ROOT, "src/entries")).map((file) => file.replace(/\.ts$/, ".d.ts"));
  const exported = types.flatMap((path: string) => path.split("/entries/").slice(1));
  expect(exported.sort()).toEqual(files.filter((file) => file !== "core.d.ts").sort());
});

test("publint finds nothing", async () => {
  const { messages, pkg } = await publint({ pkgDir: join(project.folder, "node_modules/ostinato"), strict: true });
  expect(messages.map((message) => formatMessage(message, pkg ?? {}))).toEqual([]);
});

test("types and modules agree wherever ES modules are resolved", async () => {
  const attw = join(ROOT, "node_modules/@arethetypeswrong/cli/dist/index.js");
  await project.node(attw, [project.tarball, "--profile", "esm-only"]);
});

test("pages stay within their budgets", async () => {
  await project.node(join(ROOT, "node_modules/size-limit/bin.js"), [], { cwd: ROOT });
});

describe("in a project of its own", () => {
  const program = [
    ...entries.map((name, i) => `import * as entry${i} from "${specifier(name)}";`),
    'import { createModel, type Device, generate, type LanguageModel } from "ostinato";',
    'import { LSTM } from "ostinato/nn";',
    "export const make = (device: Device): LanguageModel =>",
    '  createModel(device, { kind: "lstm", vocabSize: 8, embeddingSize: 8, hiddenSize: 8, numLayers: 1, dropout: 0 });',
    "export const layer = (device: Device): LSTM => new LSTM(device, { inputSize: 8, hiddenSize: 16, numLayers: 2 });",
    "// @ts-expect-error: sizes are numbers",
    'export const wrong = (device: Device) => new LSTM(device, { inputSize: "8", hiddenSize: 16 });',
    `console.log(entry1.LSTM === entry0.LSTM, ${entries.map((_, i) => `Object.keys(entry${i}).length`).join(", ")}, typeof generate);`,
  ].join("\n");

  test.each([
    ["bundler", "esnext"],
    ["nodenext", "nodenext"],
  ])("every entry point is typed under moduleResolution %s, without skipLibCheck", async (resolution, module) => {
    writeFileSync(join(project.folder, "use.ts"), program);
    const options = ["--strict", "--noEmit", "--target", "es2022", "--types", "", "--skipLibCheck", "false"];
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    await project.node(tsc, [...options, "--module", module, "--moduleResolution", resolution, "use.ts"]);
  });

  test("every entry point loads, and all share one copy of each class", async () => {
    writeFileSync(
      join(project.folder, "use.js"),
      program.replace(/^(?!import|console).*$/gm, "").replace(/type \w+,? ?/g, ""),
    );
    const said = await project.node("use.js", []);
    expect(said.trim()).toMatch(/^true( [1-9]\d*)+ function$/);
  });
});
