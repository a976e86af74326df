/** The package in other people's builds: installed alone, bundled by Vite and by esbuild, twice on one strict page. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as esbuild from "esbuild";
import type { Browser } from "puppeteer";
import { build, type PreviewServer, preview } from "vite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { launchChrome } from "../../scripts/chrome.ts";
import { installPackage, PACK_TIMEOUT, type Project } from "../support/package.ts";
import { visitPage } from "../support/visit.ts";

const PATIENCE = 120_000;
/** No evaluated text, no inline script, nothing from elsewhere. */
const POLICY =
  "default-src 'none'; script-src 'self'; connect-src 'self'; require-trusted-types-for 'script'; trusted-types 'none'";
/** Entry points that need no peer. */
const ALONE = ["", "/nn", "/models", "/generate", "/train", "/io", "/text", "/check", "/worker", "/worker/serve"];

let project: Project;
beforeAll(async () => {
  project = await installPackage();
}, PACK_TIMEOUT);

describe("installed by npm in an empty folder", () => {
  let folder: string;
  beforeAll(() => {
    folder = join(project.folder, "alone");
    mkdirSync(folder);
    writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
    const shell = process.platform === "win32";
    execFileSync("npm", ["install", "--offline", "--no-audit", "--no-fund", project.tarball], { cwd: folder, shell });
  }, PATIENCE);

  test("it brings no other package", () => {
    const modules = readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith("."));
    expect(modules).toEqual(["ostinato"]);
  });

  test("a server imports every entry point without WebGPU, and nothing happens", async () => {
    writeFileSync(
      join(folder, "ssr.js"),
      `const names = () => Reflect.ownKeys(globalThis).map(String).join();
      const before = names();
      for (const entry of ${JSON.stringify(ALONE)}) await import("ostinato" + entry);
      const { GpuUnavailableError, openDevice } = await import("ostinato");
      const refusal = () => openDevice().catch((error) => (error instanceof GpuUnavailableError ? error.reason : error));
      const reasons = [await refusal()];
      Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true }); // as later Nodes have it
      reasons.push(await refusal());
      delete globalThis.navigator;
      console.log(JSON.stringify({ added: names() === before ? 0 : names(), reasons }));`,
    );
    // Ends by itself: no timer, port or worker was opened.
    const said = JSON.parse(await project.node("ssr.js", [], { cwd: folder }));
    expect(said).toEqual({ added: 0, reasons: ["no-webgpu", "no-webgpu"] });
  });
});

/** Modules of the package that end up in a page, by esbuild's own account. */
async function bundled(code: string): Promise<string[]> {
  const { metafile } = await esbuild.build({
    stdin: { contents: code, resolveDir: project.folder },
    ...{ bundle: true, format: "esm", write: false, metafile: true, outfile: "page.js", logLevel: "error" },
    external: ["@huggingface/tokenizers", "gpt-tokenizer/*"],
  });
  const [output] = Object.values(metafile.outputs);
  const inputs = Object.entries(output?.inputs ?? {}).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
  return inputs.map(([path]) => path.split("dist/lib/")[1] ?? path);
}

describe("a bundle holds what its page uses", () => {
  test("a page that only generates holds no optimizer, trainer or loss", async () => {
    const modules = await bundled(
      'import { generate } from "ostinato/generate"; import { openDevice, openModel } from "ostinato"; console.log(generate, openDevice, openModel);',
    );
    expect(modules).toEqual(expect.arrayContaining(["generate/generate.js", "gpu/open.js", "models/open.js"]));
    expect(modules.filter((path) => /^(optim|train)\/|optim|crossEntropy/.test(path))).toEqual([]);
  });

  test("a page that asks for one entry point or layer holds neither models nor other layers", async () => {
    const generating = await bundled('import { generate } from "ostinato/generate"; console.log(generate);');
    expect(generating).toContain("generate/generate.js");
    expect(generating.filter((path) => /^(nn|optim|train|io)\//.test(path))).toEqual([]);
    const layer = await bundled('import { Linear } from "ostinato"; console.log(Linear);');
    expect(layer).toContain("nn/linear.js");
    expect(layer.filter((path) => /^(models|generate|train|io)\/|rnn|attention|wkv/.test(path))).toEqual([]);
  });

  test("an import for nothing leaves nothing", async () => {
    expect(await bundled(ALONE.map((entry) => `import "ostinato${entry}";`).join("\n"))).toEqual([]);
  });
});

/** Learns a little, saves, opens what it saved, writes, and gives everything back. */
const APP = `
import { createModel, encodeSource, generate, modelKind, openDevice, openModel, TrainingRun, trainingOf } from "ostinato";

async function live(given) {
  const device = await openDevice(given ? { device: given } : {});
  const text = await encodeSource("the rain in spain. ".repeat(20));
  const config = modelKind("lstm").sized({ vocabSize: text.tokenizer.vocabSize, width: 8, numLayers: 1 });
  const model = createModel(device, config);
  const run = new TrainingRun(model, text, { steps: 3, batchSize: 2, seqLength: 8 });
  await run.train();
  const file = await run.save();
  run.dispose();
  model.dispose();
  const opened = await openModel(device, file);
  let written = "";
  const options = { prompt: "the", maxTokens: 12, temperature: 0 };
  for await (const piece of generate(opened.model, opened.tokenizer, options)) written += piece;
  opened.model.dispose();
  await device.sync();
  const { live } = device.stats.memory;
  const { gpu } = device;
  if (given) device.destroy();
  return { written: written.length, step: trainingOf(opened.run).state.step, live, gpu };
}
(globalThis.copies ??= []).push(live);
`;

describe("in a page", () => {
  let server: PreviewServer;
  let browser: Browser;
  beforeAll(async () => {
    const root = join(project.folder, "embed");
    const outDir = join(root, "dist");
    mkdirSync(outDir, { recursive: true });
    writeFileSync(join(root, "app.js"), APP);
    await build({
      root,
      ...{ configFile: false, logLevel: "error", publicDir: false },
      build: {
        ...{ outDir, target: "es2022", modulePreload: false },
        rolldownOptions: { input: join(root, "app.js"), output: { entryFileNames: "vite.js" } },
      },
    });
    await esbuild.build({
      ...{ entryPoints: [join(root, "app.js")], outfile: join(outDir, "esbuild.js"), logLevel: "error" },
      ...{ bundle: true, minify: true, format: "esm", target: "es2022" },
      external: ["@huggingface/tokenizers", "gpt-tokenizer/*"],
    });
    const scripts = ["vite", "esbuild"].map((name) => `<script type="module" src="${name}.js"></script>`);
    writeFileSync(join(outDir, "index.html"), `<!doctype html><title>Two copies</title>${scripts.join("")}`);
    server = await preview({
      ...{ root, configFile: false, logLevel: "error" },
      build: { outDir },
      preview: { port: 0, headers: { "Content-Security-Policy": POLICY } },
    });
    browser = await launchChrome();
  }, PATIENCE);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });

  test("copies of two bundlers live side by side under a strict policy, on devices of their own and on one", async () => {
    const { page, errors } = await visitPage(browser, server.resolvedUrls?.local[0] ?? "");
    await page.waitForFunction("globalThis.copies?.length === 2");
    const results = await page.evaluate(async () => {
      type Copy = (given?: GPUDevice) => Promise<{ written: number; step: number; live: number; gpu: GPUDevice }>;
      const [one, two] = (globalThis as unknown as { copies: [Copy, Copy] }).copies;
      const apart = await Promise.all([one(), two()]);
      const shared = apart[0].gpu;
      const together = await Promise.all([one(shared), two(shared)]);
      return [...apart, ...together].map(({ written, step, live }) => ({ written, step, live }));
    });
    expect(results).toEqual(new Array(4).fill({ written: 12, step: 3, live: 0 }));
    expect(errors).toEqual([]);
  }, 60_000);
});
